"""Logs to stderr: text on a terminal, JSON lines otherwise."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime


class JsonLines(logging.Formatter):
    """One JSON object a record: time, level, logger, message, and the trace when there is one."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def set_up_logging(*, verbose: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(levelname)s %(name)s: %(message)s")
    handler.setFormatter(text if sys.stderr.isatty() else JsonLines())
    default = logging.WARNING if sys.stderr.isatty() else logging.INFO
    logging.basicConfig(level=logging.DEBUG if verbose else default, handlers=[handler], force=True)
    if not verbose:
        logging.getLogger("asyncio").setLevel(logging.ERROR)
        logging.getLogger("aiohttp").setLevel(logging.WARNING)
