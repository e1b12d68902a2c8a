"""JSON lines for machines to read, or lines for people on a terminal; one line per record, whatever is in it.

Nothing here knows a secret: they are `Secret`s, which render as `***`, and URLs are logged without their query, where signatures live.
"""

import asyncio
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import TypeAlias

from regproxy.telemetry.writer import Outlet, Sink, unbuffered

_FIELDS = "fields"
_STANDARD_OUTPUT = 1
_SOON = 0.05  # seconds that a line may wait for others
_MANY = 256  # lines that wait for no more

_root = logging.getLogger()
_access = logging.getLogger("regproxy.access")
_encode = json.JSONEncoder(default=str).encode

Told: TypeAlias = tuple[str, str, float]
"""The id of a request, its client, and the seconds that its response took."""


class JsonLines(logging.Formatter):
    """Writes a record as one JSON object; control characters and bad Unicode come out escaped."""

    def format(self, record: logging.LogRecord) -> str:
        values = getattr(record, _FIELDS, {})
        if record.exc_info:
            values = {**values, "exception": self.formatException(record.exc_info)}
        return _line(record.created, record.levelname.lower(), record.name, record.getMessage(), values)


class ConsoleLines(logging.Formatter):
    """Writes a record for people: the time of day, the level, the message, and its fields behind it."""

    def format(self, record: logging.LogRecord) -> str:
        line = _console_line(record.created, record.levelname.lower(), record.getMessage(), getattr(record, _FIELDS, {}))
        if not record.exc_info:
            return line
        trace = self.formatException(record.exc_info).splitlines()
        return "\n".join([line, *(f"    {plain(each)}" for each in trace)])


class Lines(logging.Handler):
    """Writes lines, many at once: a call of the kernel for each would cost more than the line."""

    def __init__(self, stream: Sink, *, is_console: bool = False) -> None:
        """Write to *stream*, as JSON or for a console."""
        super().__init__()
        self.is_console = is_console
        self.setFormatter(ConsoleLines() if is_console else JsonLines())
        self._outlet = Outlet(stream, _told_lost)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.put(self.format(record))
        if record.levelno > logging.INFO:
            self._send()

    def put(self, *lines: str) -> None:
        """Write *lines* soon, or now where there are many, or no event loop that could do so later."""
        is_first = not self._lines
        self._lines += lines
        if len(self._lines) >= _MANY:
            self._send()
        elif is_first:
            try:
                asyncio.get_running_loop().call_later(_SOON, self._send)
            except RuntimeError:
                self.flush()

    def flush(self) -> None:
        """Wait until all is written, but not for long."""
        self._send()
        self._outlet.flush()

    def _send(self) -> None:
        with self.lock or nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                self._outlet.put(lines)


class AccessLine:
    """The access line of a request, for `Lines` alone: a log record of its own would cost as much as the response.

    The same is told again and again, of other clients: what does not change is encoded once.
    """

    __slots__ = ("_lasting", "_level", "_message", "_values")

    def __init__(self, message: str, *, is_quiet: bool = False, **values: object) -> None:
        """Say *message* with *values*; what *is_quiet* is for who looks for mistakes."""
        self._level = logging.DEBUG if is_quiet else logging.INFO
        self._message = message
        self._values = values
        self._lasting = ""

    def tell(self, responses: Sequence[Told]) -> None:
        """Write a line for each of *responses*, which were sent just now."""
        if not _access.isEnabledFor(self._level):
            return
        for handler in _root.handlers:
            if isinstance(handler, Lines):
                handler.put(*(self._for_people if handler.is_console else self._for_machines)(responses, time.time()))

    @property
    def _level_name(self) -> str:
        return logging.getLevelName(self._level).lower()

    def _for_machines(self, responses: Sequence[Told], when: float) -> list[str]:
        if not self._lasting:
            self._lasting = _encode({"level": self._level_name, "logger": _access.name, "message": self._message, **self._values})[1:-1]
        before = f'{{"time": "{_time(when)}", {self._lasting}, "request_id": "'
        return [
            f'{before}{request_id}", "client": {encode_basestring_ascii(client)}, "seconds": {seconds:.6f}}}'
            for request_id, client, seconds in responses
        ]

    def _for_people(self, responses: Sequence[Told], when: float) -> list[str]:
        values = {name: value for name, value in self._values.items() if value not in (None, "")}
        return [
            _console_line(when, self._level_name, self._message, {**values, "client": client, "seconds": f"{seconds:.3f}"})
            for _, client, seconds in responses
        ]


def _line(when: float, level: str, logger: str, message: str, values: Mapping[str, object]) -> str:
    return _encode({"time": _time(when), "level": level, "logger": logger, "message": message, **values})


def _console_line(when: float, level: str, message: str, values: Mapping[str, object]) -> str:
    shown = [f"{name}={_shown(value)}" for name, value in values.items()]
    return "  ".join([time.strftime("%H:%M:%S", time.localtime(when)), f"{level:7}", plain(message), *shown])


def _shown(value: object) -> str:
    """Show a value as it is, or between quotes where it could be taken for more than one."""
    text = str(value)
    return text if text.isascii() and text.isprintable() and text and not set(text) & set(" \"'=") else _encode(text)


def plain(text: str) -> str:
    """Return *text* with a ? for what would paint or move the cursor of a terminal: an upstream or a file may have said it."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _told_lost(count: int) -> str:
    return _line(time.time(), "warning", __name__, "lines of the log were lost: nobody took them", {"lines": count})


def _time(when: float) -> str:
    second = int(when)
    return f"{_second(second)}.{int((when - second) * 1000):03d}Z"


@lru_cache(2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def fields(**values: object) -> dict[str, dict[str, object]]:
    """Attach attributes to a line: `logger.info("pulled", extra=fields(digest=digest))`."""
    return {_FIELDS: values}


def is_console(log_format: str) -> bool:
    """Report whether the log is for people; with `auto`, whether standard output is a terminal."""
    return log_format == "console" or (log_format == "auto" and os.isatty(_STANDARD_OUTPUT))


def configure(level: str, log_format: str = "json") -> None:
    """Send all logging to standard output, in a format of the settings: auto, json or console."""
    lines = Lines(unbuffered(_STANDARD_OUTPUT), is_console=is_console(log_format))
    logging.basicConfig(level=level.upper(), handlers=[lines], force=True)
    logging.getLogger("aiosqlite").setLevel(logging.WARNING)  # every statement at DEBUG


def reconfigure(level: str, log_format: str) -> None:
    """Do as `configure` in a process where that was done; who writes the lines goes on, unless the format is another."""
    if any(isinstance(each, Lines) and each.is_console == is_console(log_format) for each in _root.handlers):
        _root.setLevel(level.upper())
    else:
        configure(level, log_format)
