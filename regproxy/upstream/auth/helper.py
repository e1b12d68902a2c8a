"""Running a credential helper (docker login reference, Credential helper protocol).

It is told the server on its standard input and answers on its output, so that no secret is in a process list. Most are scripts, whose own
children may outlive them, hang, or keep the output open: nothing here waits for those.
"""

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress

_TIMEOUT = 5.0  # seconds; one that asks a cloud takes two
_KILL_TIMEOUT = 1.0  # seconds for the kernel to end what was killed
_MAX_OUTPUT_BYTES = 64 * 1024  # what it says is a few KiB


class HelperFailedError(Exception):
    """It did not run, or not to its end."""


async def answer(program: str, server: str, environment: Mapping[str, str], timeout: float = _TIMEOUT) -> bytes:
    """Ask *program* about *server*; return what it printed, nothing where it exited with an error. Raise `HelperFailedError`."""
    loop, pipe = asyncio.get_running_loop(), asyncio.subprocess.PIPE
    try:
        transport, process = await loop.subprocess_exec(
            _Output, program, "get", stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL, env=environment, start_new_session=True
        )
    except OSError as error:
        raise HelperFailedError(f"it cannot be run: {error.strerror}") from error
    try:
        _tell(transport, server)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await process.ended.wait()
        status = transport.get_returncode()
        if status is None:
            raise HelperFailedError("it printed too much" if process.is_full else f"it did not end within {timeout:g} s")
        return bytes(process.output) if status == 0 else b""
    finally:
        await _end(transport, process)


class _Output(asyncio.SubprocessProtocol):
    """What a helper prints, until that is too much, or all of it is there."""

    def __init__(self) -> None:
        self.output = bytearray()
        self.ended = asyncio.Event()
        self.exited = asyncio.Event()

    @property
    def is_full(self) -> bool:
        return len(self.output) > _MAX_OUTPUT_BYTES

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 -- there is one
        if not self.is_full:
            self.output += data
        if self.is_full:
            self.ended.set()

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Note that it exited, and that nobody has its output open."""
        self.ended.set()


def _tell(transport: asyncio.SubprocessTransport, server: str) -> None:
    """Write to its input, which it may have closed."""
    with suppress(ConnectionError):
        listening = transport.get_pipe_transport(0)
        if isinstance(listening, asyncio.WriteTransport):
            listening.write(server.encode())
            listening.close()


async def _end(transport: asyncio.SubprocessTransport, process: _Output) -> None:
    """Kill it with its children, unless it has exited, and close its pipes."""
    if transport.get_returncode() is None:
        with suppress(ProcessLookupError):
            os.killpg(transport.get_pid(), signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(_KILL_TIMEOUT):
                await process.exited.wait()
    transport.close()
