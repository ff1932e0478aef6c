"""What people type: the commands, their flags, and what they print."""

import gc

# Importing Dagster makes many objects that stay; Python would look for garbage among them after every 700.
gc.set_threshold(100_000, 50, 100)
