"""Logs that help: one JSON line an event, with the job it is about."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

MAX_BYTES, KEPT = 5_000_000, 3  # of resolute.log
log = logging.getLogger("resolute")
ENGINE = logging.getLogger("engine")  # of all modules of the engine: where a run or a load went wrong


class JsonLines(logging.Formatter):
    """A record as one line: time, level, event, and whatever was given with it."""

    def format(self, record: logging.LogRecord) -> str:
        if raw := getattr(record, "raw", None):
            return str(raw)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def event(event: str, /, *, job: str | None = None, level: int = logging.INFO, **fields: object) -> None:
    """Log one event; `job` is the id of the job it is about."""
    log.log(level, event, extra={"fields": {"job": job, **fields} if job else fields})


def forward(line: str) -> None:
    """Pass on a line of another process: an event of ours as it is, anything else as an event of its own."""
    ours = line.startswith("{") and line.endswith("}")
    log.log(logging.INFO, "worker says", extra={"raw": line} if ours else {"fields": {"text": line[:2000]}})


def to_stderr() -> logging.Handler:
    """Send everything to standard error, which a supervisor reads."""
    return _add(logging.StreamHandler(sys.stderr))


def to_file(path: Path) -> logging.Handler:
    """Send everything to a file too, which is renamed at 5 MB; three old ones are kept. One process alone writes it."""
    return _add(RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=KEPT, encoding="utf-8", delay=True))


def remove(handler: logging.Handler) -> None:
    """Stop sending to a handler."""
    for logger in (log, ENGINE):
        logger.removeHandler(handler)
    handler.close()


def _add(handler: logging.Handler) -> logging.Handler:
    handler.setFormatter(JsonLines())
    for logger in (log, ENGINE):
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    return handler
