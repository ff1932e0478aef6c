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


class _WithoutEvents(logging.Filter):
    """Drops Dagster's lines for each event and each skipped step; the command's summary reports failed ones."""

    def filter(self, record: logging.LogRecord) -> bool:
        meta = getattr(record, "dagster_meta", {})
        skipped = str(meta.get("orig_message")).startswith("Dependencies for step ")
        return meta.get("dagster_event") is None and not skipped


@dg.logger({}, "Short lines for the terminal: the stage and its message.")
def terminal_logger(_: dg.InitLoggerContext) -> logging.Logger:
    """Return a logger that writes `stage  message` to standard error."""
    logger = logging.Logger("distill_pipeline", level=logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_StageAndMessage())
    handler.addFilter(_WithoutEvents())
    logger.addHandler(handler)
    return logger
