"""The numerics: from a teacher's vocabulary to a student. Never imports Dagster."""
