"""One module per asset, and nothing else."""
