"""What the log promises: whole lines, in order, none lost that somebody reads, and no more calls of the kernel than need be."""

import asyncio
import io
import json
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any, TextIO

import pytest

from regproxy.telemetry.log import AccessLine, Lines, configure, fields, reconfigure


class Written(io.StringIO):
    """A stream that remembers what was written to it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.has_some = threading.Event()

    def write(self, text: str) -> int:
        self.pieces.append(text)
        self.has_some.set()
        return super().write(text)


class Broken(io.StringIO):
    """A stream on a full disk."""

    def write(self, _: str, /) -> int:
        raise OSError(28, "No space left on device")


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("tests.log")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.handlers.clear()


def to(logger: logging.Logger, stream: TextIO) -> Lines:
    lines = Lines(stream)
    logger.addHandler(lines)
    return lines


async def test_lines_that_come_together_are_written_together_and_in_order(logger: logging.Logger) -> None:
    stream = Written()
    to(logger, stream)
    for number in range(3):
        logger.info("line", extra=fields(number=number))
    assert stream.pieces == []
    await asyncio.to_thread(stream.has_some.wait, 20)
    assert len(stream.pieces) == 1
    assert [json.loads(line)["number"] for line in stream.getvalue().splitlines()] == [0, 1, 2]


async def test_what_is_written_at_once_is_whole_lines_and_fits_into_a_pipe(logger: logging.Logger) -> None:
    """Workers share one pipe: longer writes would be mixed."""
    stream = Written()
    lines = to(logger, stream)
    for length in (1, 1000, 3000, 5000, 1, 1, 900):
        logger.info("x" * length)
    lines.flush()
    assert all(piece.endswith("\n") and (len(piece) <= 4096 or piece.count("\n") == 1) for piece in stream.pieces)
    assert [len(json.loads(line)["message"]) for line in stream.getvalue().splitlines()] == [1, 1000, 3000, 5000, 1, 1, 900]
    assert len(stream.pieces) == 4


async def test_trouble_is_told_at_once_and_after_what_came_before(logger: logging.Logger) -> None:
    stream = Written()
    to(logger, stream)
    logger.info("before")
    logger.warning("trouble")
    assert stream.has_some.wait(20), "the loop has to run for it"
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["before", "trouble"]


async def test_lines_do_not_pile_up(logger: logging.Logger) -> None:
    stream = Written()
    to(logger, stream)
    for _ in range(256):
        logger.info("line")
    assert stream.has_some.wait(20), "the loop has to run for it"


async def test_a_reader_who_stands_still_stops_nobody_and_learns_what_was_lost(logger: logging.Logger) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader) as unread, os.fdopen(writer, "w") as stream:
        lines = to(logger, stream)
        for number in range(30_000):
            logger.info("line", extra=fields(number=number))
        said = asyncio.create_task(asyncio.to_thread(_until, unread, "last"))
        while not said.done():  # there may be no room yet
            logger.warning("last")
            await asyncio.sleep(0.01)
        told = await said
        lines.flush()
    numbers = [line["number"] for line in told if "number" in line]
    lost = sum(line["lines"] for line in told if "lines" in line)
    assert numbers == list(range(len(numbers)))
    assert len(numbers) + lost >= 30_000


def _until(stream: TextIO, message: str) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    while not told or told[-1]["message"] != message:
        told.append(json.loads(stream.readline()))
    return told


def test_without_a_loop_a_line_is_written_at_once(logger: logging.Logger) -> None:
    stream = Written()
    to(logger, stream)
    thread = threading.Thread(target=logger.info, args=("from a thread",))
    thread.start()
    thread.join()
    assert json.loads(stream.getvalue())["message"] == "from a thread"


async def test_a_log_that_cannot_be_written_disturbs_nobody(logger: logging.Logger) -> None:
    lines = to(logger, Broken())
    logger.info("unheard")
    lines.flush()


async def test_what_is_told_of_a_request_is_a_line_as_any_other() -> None:
    stream, root, access = Written(), logging.getLogger(), logging.getLogger("regproxy.access")
    lines, level = to(root, stream), access.level
    access.setLevel(logging.INFO)
    AccessLine("GET / 200", endpoint="ping").tell([("a1", "\x1b::1", 0.25)])
    access.setLevel(logging.WARNING)
    AccessLine("GET / 200", endpoint="unheard").tell([("a2", "::1", 0.25)])
    access.setLevel(level)
    root.removeHandler(lines)
    lines.flush()
    line = json.loads(stream.getvalue())
    assert line.pop("time")[:2] + line.pop("level") == "20info"
    assert line == {
        "logger": "regproxy.access",
        "message": "GET / 200",
        "endpoint": "ping",
        "request_id": "a1",
        "client": "\x1b::1",
        "seconds": 0.25,
    }


async def test_responses_that_were_given_together_are_written_together_and_in_order() -> None:
    stream, root, access = Written(), logging.getLogger(), logging.getLogger("regproxy.access")
    lines, level = to(root, stream), access.level
    access.setLevel(logging.INFO)
    AccessLine("GET / 200", endpoint="ping").tell([(f"a{number}", f"192.0.2.{number}", number / 4) for number in range(300)])
    access.setLevel(level)
    root.removeHandler(lines)
    assert stream.has_some.wait(20), "so many wait for no more"
    lines.flush()
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    expected = [(f"a{number}", f"192.0.2.{number}", number / 4) for number in range(300)]
    assert [(line["request_id"], line["client"], line["seconds"]) for line in told] == expected


def test_who_writes_the_lines_goes_on_where_only_the_level_is_another() -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure("info")
        (before,) = root.handlers
        reconfigure("warning", "json")
        assert (root.handlers, root.level) == ([before], logging.WARNING)
        reconfigure("debug", "console")
        (after,) = root.handlers
        assert (after is before, after.is_console, root.level) == (False, True, logging.DEBUG)  # type: ignore[attr-defined]
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
