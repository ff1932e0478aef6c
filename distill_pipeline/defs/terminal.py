"""A Dagster logger for the terminal: the stage and the message, nothing else."""

import logging
import sys

import dagster as dg


class _StageAndMessage(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", {})
        stage = meta.get("step_key") or "distill"
        message = meta.get("orig_message") or record.getMessage()
        return f"{stage:<27} {message}"


def _is_line_of_a_stage(record: logging.LogRecord) -> bool:
    """Whether a line is no event's and no skipped step's; the command's summary reports failed and skipped ones."""
    meta = getattr(record, "dagster_meta", {})
    skipped = str(meta.get("orig_message")).startswith("Dependencies for step ")
    return meta.get("dagster_event") is None and not skipped


@dg.logger({}, "Short lines for the terminal: the stage and its message.")
def terminal_logger(_: dg.InitLoggerContext) -> logging.Logger:
    """Return a logger that writes `stage  message` to standard error."""
    logger = logging.Logger("distill_pipeline", level=logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_StageAndMessage())
    handler.addFilter(_is_line_of_a_stage)
    logger.addHandler(handler)
    return logger
