"""What people type: the commands, their flags, and what they print."""

import atexit
import gc

# Importing Dagster makes many objects that stay; Python would look for garbage among them after every 700, and once
# more when it ends, for as long as a fifth of a run in which nothing is computed.
gc.set_threshold(100_000, 50, 100)
atexit.register(gc.freeze)
