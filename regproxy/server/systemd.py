"""What systemd is told (sd_notify(3)), where it asks to be."""

import os
import socket
from contextlib import suppress


def notify(state: str) -> None:
    """Say READY=1, STOPPING=1 and the like; nobody hears it where systemd did not start us."""
    if not (place := os.environ.get("NOTIFY_SOCKET")):
        return
    address = f"\0{place[1:]}" if place.startswith("@") else place
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line, suppress(OSError):
        line.sendto(state.encode(), address)
