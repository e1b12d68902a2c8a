"""Readiness notifications (sd_notify(3)) and socket activation (sd_listen_fds(3))."""

import os
import socket
from contextlib import suppress

_FIRST = 3  # SD_LISTEN_FDS_START


def notify(state: str) -> None:
    """Send READY=1, STOPPING=1 and the like; a no-op where systemd did not start us."""
    if not (place := os.environ.get("NOTIFY_SOCKET")):
        return
    address = f"\0{place[1:]}" if place.startswith("@") else place
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line, suppress(OSError):
        line.sendto(state.encode(), address)


def listeners(name: str) -> list[socket.socket]:
    """Return the sockets called *name* that systemd passed, if any. They outlive this process."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    return [socket.socket(fileno=_FIRST + number) for number, each in enumerate(names) if each == name]
