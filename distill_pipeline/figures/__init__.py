"""Pictures of a distillation: data in, PNG bytes out. Knows nothing of stages, stores or Dagster."""
