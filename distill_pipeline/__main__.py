"""`python -m distill_pipeline` is the command line."""

from distill_pipeline.cli.main import main

main()
