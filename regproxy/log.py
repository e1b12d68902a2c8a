"""JSON lines for machines to read; one line per record, whatever is in it.

Nothing here knows a secret: they are `Secret`s, which render as `***`, and URLs are logged without their query, where signatures live.
"""

import asyncio
import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from functools import lru_cache
from typing import TextIO

_FIELDS = "fields"
_ATOMIC = 4096  # bytes; what is written to a pipe at once is not mixed with what other workers write up to PIPE_BUF (pipe(7))

_BLANK = vars(logging.LogRecord("", logging.INFO, "", 0, "", (), None))
_encode = json.JSONEncoder(default=str).encode


class JsonLines(logging.Formatter):
    """Writes a record as one JSON object; control characters and bad Unicode come out escaped."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": f"{_second(int(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encode(line)


class Lines(logging.Handler):
    """Writes all lines of one turn of the event loop together: a call of the kernel for each would cost more than the line."""

    def __init__(self, stream: TextIO) -> None:
        """Take where lines go."""
        super().__init__()
        self.setFormatter(JsonLines())
        self._stream = stream
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record) + "\n")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a thread of its own, or the end
            self.flush()
            return
        if len(self._lines) == 1:
            loop.call_soon(self.flush)

    def flush(self) -> None:
        with self.lock or nullcontext(), suppress(OSError, ValueError):  # nobody could be told
            lines, self._lines = self._lines, []
            for piece in _pieces(lines):
                self._stream.write(piece)
                self._stream.flush()


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    """Join lines as far as they can be written at once."""
    piece = ""
    for line in lines:
        if piece and len(piece) + len(line) > _ATOMIC:
            yield piece
            piece = ""
        piece += line
    if piece:
        yield piece


@lru_cache(2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


class Told(logging.LogRecord):
    """A record without what nobody reads of it, such as the place in the code: half the cost of a line."""

    def __init__(self, logger: str, message: str, **values: object) -> None:
        """Tell of something at level INFO, with attributes; give it to `logger.handle`."""
        now = time.time()
        self.__dict__.update(_BLANK, name=logger, msg=message, created=now, msecs=now % 1 * 1000, fields=values)


def fields(**values: object) -> dict[str, dict[str, object]]:
    """Attach attributes to a line: `logger.info("pulled", extra=fields(digest=digest))`."""
    return {_FIELDS: values}


def configure(level: str, stream: TextIO = sys.stdout) -> None:
    """Send all logging to *stream* as JSON lines."""
    logging.basicConfig(level=level.upper(), handlers=[Lines(stream)], force=True)
    logging.getLogger("aiosqlite").setLevel(logging.WARNING)  # every statement at DEBUG
