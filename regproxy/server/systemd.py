"""What systemd is told (sd_notify(3)), where it asks to be, and what it gives us (sd_listen_fds(3))."""

import os
import socket
from contextlib import suppress

_FIRST = 3  # SD_LISTEN_FDS_START


def notify(state: str) -> None:
    """Say READY=1, STOPPING=1 and the like; nobody hears it where systemd did not start us."""
    if not (place := os.environ.get("NOTIFY_SOCKET")):
        return
    address = f"\0{place[1:]}" if place.startswith("@") else place
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line, suppress(OSError):
        line.sendto(state.encode(), address)


def listeners(name: str) -> list[socket.socket]:
    """Take the sockets called *name* that systemd listens at; none where it did not start us with any. They outlive us."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    return [socket.socket(fileno=_FIRST + number) for number, each in enumerate(names) if each == name]
