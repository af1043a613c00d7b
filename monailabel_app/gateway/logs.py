"""Structured logs: one JSON object a line, no patient data."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone

from monailabel_app.gateway.faults import where

_CHATTY = (
    "monailabel", "timeloop", "schedule", "monai", "httpx", "httpcore", "uvicorn.access", "pydicom", "python_multipart",
)  # fmt: skip
"""Libraries that log requests, file names or header values: nothing below critical of theirs is written."""


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            entry["fault"] = where(record.exc_info[1])  # never the text of the error, nor a traceback with values
        return json.dumps(entry, ensure_ascii=False, default=str)


def set_up(level: int = logging.INFO) -> None:
    """Send this process's logs to stderr as JSON lines and silence what would log requests."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("monailabel_app", "radfind"):
        logging.getLogger(name).setLevel(level)
    silence()


def silence() -> None:
    """Again after a library was imported: importing adds handlers."""
    for name in _CHATTY:
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL)
        logger.handlers[:] = []
