"""What a launch may say beyond which recipe and which stages: texts, checked as a recipe's are.

Knows nothing of what the texts are for; paths and machines are the process's settings, not a launch's.
"""

from typing import Any

import dagster as dg

from distill_pipeline.chain.stages import RELEASE
from distill_pipeline.defs.resources import DistillHome
from distill_pipeline.errors import RecipeError
from distill_pipeline.release.gate import check_reason


def launch_config(run: dg.DagsterRun, home: DistillHome, asset: str) -> dict[str, Any]:
    """Return a run's configuration of an asset, as it was launched.

    Raises:
        RecipeError: A value is the name of an environment variable. Dagster would put the variable's content in its
            place, such as a token, and that would be shown.
    """
    config: Any = run.run_config
    for name in ("ops", home.op(asset), "config"):
        config = config.get(name) or {}
    for field, value in config.items():
        if any(isinstance(part, dict) for part in (value if isinstance(value, list) else [value])):
            raise RecipeError(f"{asset}: {field} must be written out; the environment's variables can't be used here")
    return dict(config)


def override_reason(run: dg.DagsterRun, home: DistillHome) -> str:
    """Return why this run is to release a student that the gate would refuse; empty when it isn't.

    Raises:
        RecipeError, ReleaseRefused: The reason can't be shown on a card.
    """
    return check_reason(str(launch_config(run, home, RELEASE).get("override_reason") or ""))
