"""What holds of recipes and their stages, without Dagster: stages, home, plan, comparison, gc."""
