"""The deployment of a team as real processes; run by `make test-team` alone."""
