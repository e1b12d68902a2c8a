"""What the log promises: whole lines, in order, none lost, and no more calls of the kernel than need be."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from threading import Thread

import pytest

from regproxy.log import Lines, Told, fields


class Written(io.StringIO):
    """A stream that remembers what was written to it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
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


def to(logger: logging.Logger, stream: io.StringIO) -> Lines:
    lines = Lines(stream)
    logger.addHandler(lines)
    return lines


async def test_the_lines_of_a_turn_are_written_together_and_in_order(logger: logging.Logger) -> None:
    stream = Written()
    to(logger, stream)
    for number in range(3):
        logger.info("line", extra=fields(number=number))
    assert stream.pieces == []
    await asyncio.sleep(0)
    assert len(stream.pieces) == 1
    assert [json.loads(line)["number"] for line in stream.getvalue().splitlines()] == [0, 1, 2]


async def test_what_is_written_at_once_is_whole_lines_and_fits_into_a_pipe(logger: logging.Logger) -> None:
    """Workers share one pipe: longer writes would be mixed."""
    stream = Written()
    to(logger, stream)
    for length in (1, 1000, 3000, 5000, 1, 1, 900):
        logger.info("x" * length)
    await asyncio.sleep(0)
    assert all(piece.endswith("\n") and (len(piece) <= 4096 or piece.count("\n") == 1) for piece in stream.pieces)
    assert [len(json.loads(line)["message"]) for line in stream.getvalue().splitlines()] == [1, 1000, 3000, 5000, 1, 1, 900]
    assert len(stream.pieces) == 4


def test_without_a_loop_a_line_is_written_at_once(logger: logging.Logger) -> None:
    stream = Written()
    to(logger, stream)
    thread = Thread(target=logger.warning, args=("from a thread",))
    thread.start()
    thread.join()
    assert json.loads(stream.getvalue())["message"] == "from a thread"


def test_the_last_words_of_a_loop_are_written(logger: logging.Logger) -> None:
    stream = Written()
    to(logger, stream)

    async def last() -> None:
        logger.info("last words")

    asyncio.run(last())
    assert json.loads(stream.getvalue())["message"] == "last words"


async def test_a_log_that_cannot_be_written_disturbs_nobody(logger: logging.Logger) -> None:
    lines = to(logger, Broken())
    logger.info("unheard")
    lines.flush()


def test_what_is_told_is_a_line_as_any_other(logger: logging.Logger) -> None:
    stream = Written()
    to(logger, stream)
    logger.handle(Told(logger.name, "GET / 200", endpoint="ping"))
    line = json.loads(stream.getvalue())
    assert (line["level"], line["logger"], line["message"], line["endpoint"]) == ("info", "tests.log", "GET / 200", "ping")
    assert line["time"].startswith("20")
    assert line["time"].endswith("Z")
