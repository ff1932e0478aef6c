"""What people type: the commands, their flags, and what they print."""

import atexit
import sys
from gc import freeze, set_threshold

# Importing Dagster makes many objects that stay; Python would look for garbage among them after every 700.
set_threshold(100_000, 50, 100)


@atexit.register
def _end_at_once() -> None:
    """Spare Python's last look for garbage, a fifth of a run of hits; without one, torch's libraries complain."""
    if "torch" not in sys.modules:
        freeze()
