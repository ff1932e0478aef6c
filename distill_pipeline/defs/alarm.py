"""A sensor that tells someone of a run that failed while nobody watched it."""

import os
import time

import dagster as dg

from distill_pipeline.errors import DistillError

FAILURE_URL = "DISTILL_FAILURE_URL"
"""The environment variable with the URL that is told. It may hold a secret, so no message repeats it."""

_TRIES, _ANSWER_SECONDS, _MAX_CHARACTERS = 3, 10.0, 2000


@dg.run_failure_sensor(
    name="failure_alarm",
    default_status=dg.DefaultSensorStatus.RUNNING if os.environ.get(FAILURE_URL) else dg.DefaultSensorStatus.STOPPED,
    description=f"Posts each failed run to ${FAILURE_URL}, and is on when that is set. Not those of the command line.",
)
def failure_alarm(context: dg.RunFailureSensorContext) -> None:
    """Post which recipe's run failed, and why, as JSON whose `text` chat services show."""
    run = context.dagster_run
    recipe = run.tags.get("dagster/partition", "all recipes")
    failed = [(event.step_key, event.step_failure_data.error) for event in context.get_step_failure_events()]
    reasons = [f"{step}: {(error.cause or error).message.strip()}" for step, error in failed if error]
    error = "\n".join(reasons or [str(context.failure_event.message)])[:_MAX_CHARACTERS]
    text = f"distill-pipeline: run {run.run_id[:8]} of {recipe} failed: {error}"
    post({"text": text, "recipe": recipe, "run_id": run.run_id, "job": run.job_name, "error": error})


def post(report: dict[str, str]) -> None:
    """Send a report to `$DISTILL_FAILURE_URL`, at most three times.

    Raises:
        DistillError: The variable isn't set, or the URL takes no report.
    """
    import httpx

    url = os.environ.get(FAILURE_URL)
    if not url:
        raise DistillError(f"{FAILURE_URL} isn't set where the code location runs; nobody is told of failed runs")
    problem = ""
    for attempt in range(_TRIES):
        time.sleep(attempt)
        try:
            httpx.post(url, json=report, timeout=_ANSWER_SECONDS).raise_for_status()
            return
        except httpx.HTTPStatusError as error:
            problem = f"it answered {error.response.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            problem = type(error).__name__
    raise DistillError(f"{FAILURE_URL}: {problem}; nobody was told of the failed run")
