"""The card's snippets, each run in an environment of its own."""
