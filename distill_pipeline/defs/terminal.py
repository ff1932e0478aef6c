"""A Dagster logger for people at a terminal: the stage and the message, nothing else."""

import logging
import sys

import dagster as dg


class _StageAndMessage(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", {})
        stage = meta.get("step_key") or "distill"
        message = meta.get("orig_message") or record.getMessage()
        return f"{stage:<27} {message}"


class _WrittenByUs(logging.Filter):
    """Lets our own messages pass, not Dagster's account of each event: the summary tells of a failed step."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(record, "dagster_meta", {}).get("dagster_event") is None


@dg.logger({}, "Short lines for a terminal: the stage and what it says.")
def terminal_logger(_: dg.InitLoggerContext) -> logging.Logger:
    """Return a logger that writes `stage  message` to standard error."""
    logger = logging.Logger("distill_pipeline", level=logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_StageAndMessage())
    handler.addFilter(_WrittenByUs())
    logger.addHandler(handler)
    return logger
