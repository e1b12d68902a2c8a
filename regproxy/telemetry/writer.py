"""Writes log lines in a thread, so that a reader of the log that stalls does not stall the process."""

import io
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol, TextIO

_ATOMIC = 4096  # bytes; what is written to a pipe at once is not mixed with what other workers write up to PIPE_BUF (pipe(7))
_MOST = 64  # calls of `put` that wait to be written
_TIMEOUT = 1.0  # seconds that a process waits for its reader when it ends


def unbuffered(descriptor: int) -> TextIO:
    """Return a text stream that writes to *descriptor* at once.

    What a buffer could not get rid of would be flushed once more when the interpreter ends, which then exits with status 120.
    """
    return io.TextIOWrapper(io.FileIO(descriptor, "w", closefd=False), "utf-8", "backslashreplace", write_through=True)


class Sink(Protocol):
    """Where lines end up."""

    def write(self, text: str, /) -> object:
        """Write whole lines; raise `OSError`."""

    def flush(self) -> object: ...


class Outlet:
    """Writes lines in order; lines that are not read in time are dropped, and counted in the next line that is."""

    def __init__(self, stream: Sink, told_lost: Callable[[int], str]) -> None:
        """Write to *stream*; *told_lost* makes the line that reports how many were dropped."""
        self._stream = stream
        self._told_lost = told_lost
        self._waiting: queue.Queue[Sequence[str] | threading.Event] = queue.Queue(_MOST)
        self._lost = 0
        self._thread: threading.Thread | None = None

    def put(self, lines: Sequence[str]) -> None:
        """Queue lines to be written."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="outlet", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(lines)
        except queue.Full:
            self._lost += len(lines)

    def flush(self) -> None:
        """Wait until all is written, but not for long."""
        if self._thread is None:
            return
        written = threading.Event()
        with suppress(queue.Full):
            self._waiting.put(written, timeout=_TIMEOUT)
            written.wait(_TIMEOUT)

    def _write(self) -> None:
        while True:
            lines = self._waiting.get()
            if isinstance(lines, threading.Event):
                lines.set()
                continue
            if self._lost:
                lost, self._lost = self._lost, 0
                lines = [self._told_lost(lost), *lines]
            for piece in _pieces(lines):
                with suppress(OSError, ValueError):  # nobody could be told
                    self._stream.write(piece)
                    self._stream.flush()


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    """Join lines as far as they can be written at once."""
    piece = ""
    for line in lines:
        if piece and len(piece) + len(line) >= _ATOMIC:
            yield piece
            piece = ""
        piece += line + "\n"
    if piece:
        yield piece
