"""Everything that finds a teacher's files and runs it. Never imports Dagster."""
