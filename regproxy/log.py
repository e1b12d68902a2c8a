"""JSON lines for machines to read; one line per record, whatever is in it.

Nothing here knows a secret: they are `Secret`s, which render as `***`, and URLs are logged without their query, where signatures live.
"""

import json
import logging
import sys
import time
from typing import TextIO

_FIELDS = "fields"


class JsonLines(logging.Formatter):
    """Writes a record as one JSON object; control characters and bad Unicode come out escaped."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, _FIELDS, {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def fields(**values: object) -> dict[str, dict[str, object]]:
    """Attach attributes to a line: `logger.info("pulled", extra=fields(digest=digest))`."""
    return {_FIELDS: values}


def configure(level: str, stream: TextIO = sys.stdout) -> None:
    """Send all logging to *stream* as JSON lines."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("aiosqlite").setLevel(logging.WARNING)  # every statement at DEBUG
