"""Releases: the card, the gate, the local registry and the Hub. Never imports Dagster."""
