"""Distil a Sentence Transformer into a static Model2Vec model with Dagster."""
