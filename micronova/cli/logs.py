"""Logging: one line an event, text or JSON, to standard error or the state folder's log."""

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from micronova.errors import ConfigError

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(told).decode()


def set_up(level: str, *, as_json: bool, file: Path | None = None) -> None:
    """Send what is logged to `file`, or to standard error. Raises ConfigError for an unknown level."""
    if level not in LEVELS:
        raise ConfigError(f"configuration: log.level: {level!r} is not one of {', '.join(LEVELS)}")
    handler = logging.FileHandler(file) if file is not None else logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if as_json else text)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(LEVELS[level])
    for noisy in ("uvicorn.error", "uvicorn.access", "qemu", "pyroute2", "asyncio", "asyncssh"):
        logging.getLogger(noisy).setLevel(max(LEVELS[level], logging.WARNING))
