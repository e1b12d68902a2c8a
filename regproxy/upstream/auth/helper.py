"""Running a program that knows credentials: docker's (docker login reference, Credential helper protocol) or a kubelet's provider.

It is told what is asked on its standard input and answers on its output, so that no secret is in a process list; what it prints beside is
not looked at. Most are scripts, whose own children may outlive them, hang, or keep the output open: nothing here waits for those.
"""

import asyncio
import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from regproxy.policy.credential import Secret

_TIMEOUT = 5.0  # seconds; one that asks a cloud takes two
_KILL_TIMEOUT = 1.0  # seconds for the kernel to end what was killed
_MAX_OUTPUT_BYTES = 64 * 1024  # what it says is a few KiB
_INHERITED = ("PATH", "HOME")  # the rest of our environment has the secrets of all upstreams in it, for `${NAME}`


class HelperFailedError(Exception):
    """It did not run, or not to its end."""


def inherited(own: Iterable[tuple[str, Secret]]) -> dict[str, str]:
    """Return what a program finds in its environment: what it inherits of ours, and its *own*."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | {name: value.value for name, value in own}


async def answer(program: str, server: str, environment: Mapping[str, str], timeout: float = _TIMEOUT) -> bytes:
    """Ask a credential helper about *server*; return what it printed, nothing where it exited with an error. Raise `HelperFailedError`."""
    status, output = await run([program, "get"], server.encode(), environment, timeout)
    return output if status == 0 else b""


async def run(command: Sequence[str], question: bytes, environment: Mapping[str, str], timeout: float = _TIMEOUT) -> tuple[int, bytes]:
    """Run a program that reads *question*; return its exit status and what it printed. Raise `HelperFailedError`."""
    loop, pipe = asyncio.get_running_loop(), asyncio.subprocess.PIPE
    try:
        transport, process = await loop.subprocess_exec(
            _Output, *command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL, env=environment, start_new_session=True
        )
    except OSError as error:
        raise HelperFailedError(f"it cannot be run: {error.strerror}") from error
    try:
        _tell(transport, question)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await process.ended.wait()
        status = transport.get_returncode()
        if status is None:
            raise HelperFailedError("it printed too much" if process.is_full else f"it did not end within {timeout:g} s")
        return status, bytes(process.output)
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


def _tell(transport: asyncio.SubprocessTransport, question: bytes) -> None:
    """Write to its input, which it may have closed."""
    with suppress(ConnectionError):
        listening = transport.get_pipe_transport(0)
        if isinstance(listening, asyncio.WriteTransport):
            listening.write(question)
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
