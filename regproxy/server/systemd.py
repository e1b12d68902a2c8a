"""Readiness notifications (sd_notify(3)), socket activation (sd_listen_fds(3)) and the watchdog (sd_watchdog_enabled(3))."""

import asyncio
import os
import socket
from contextlib import suppress

_FIRST = 3  # SD_LISTEN_FDS_START


def notify(state: str, flags: int = 0) -> None:
    """Send READY=1, STOPPING=1 and the like, with *flags* of send(2); a no-op where systemd did not start us."""
    if not (place := os.environ.get("NOTIFY_SOCKET")):
        return
    address = f"\0{place[1:]}" if place.startswith("@") else place
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line, suppress(OSError):
        line.sendto(state.encode(), flags, address)


async def beat() -> None:
    """Tell systemd for ever that the event loop turns, twice in each `WatchdogSec`; return at once where it does not ask for that."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    while microseconds.isdecimal():
        notify("WATCHDOG=1", socket.MSG_DONTWAIT)  # who does not listen is not waited for
        await asyncio.sleep(int(microseconds) / 2_000_000)


def listeners(name: str) -> list[socket.socket]:
    """Return the sockets called *name* that systemd passed, if any. They outlive this process."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    return [socket.socket(fileno=_FIRST + number) for number, each in enumerate(names) if each == name]
