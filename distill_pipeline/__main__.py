"""`python -m distill_pipeline` is the command line, and `distill-pipeline` the same."""

import atexit
import os
import sys
from typing import NoReturn

from distill_pipeline.cli.main import main


def run() -> NoReturn:
    """Run one command and end the process, after what `atexit` holds; threads that still run are cut off.

    Python's own way out takes every object apart, which can last longer than all the rest of a command (docs/speed.md).
    """
    status = 0
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):  # a message, which Python prints
            raise
        status = end.code or 0
    atexit._run_exitfuncs()
    for stream in filter(None, (sys.stdout, sys.stderr)):  # a stream that was closed from the start is None
        stream.flush()
    os._exit(status)


if __name__ == "__main__":
    run()
