"""All that Dagster loads: assets, checks, automation, jobs, partitions and resources."""
