"""What the kernel knows of a client's connection (Linux, tcp(7))."""

import fcntl
import socket
import struct
import termios
from contextlib import suppress

_BYTES_ACKED = 120  # offset in Linux's struct tcp_info (include/uapi/linux/tcp.h); 64 bits
_INFO_SIZE = _BYTES_ACKED + 8


def acknowledged_bytes(sock: socket.socket) -> int:
    """Return how many bytes the client has acknowledged in all."""
    count: int = struct.unpack_from("Q", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE), _BYTES_ACKED)[0]
    return count


def unacknowledged_bytes(sock: socket.socket) -> int:
    """Return how many bytes the kernel holds that the client has not acknowledged."""
    count: int = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
    return count


def abort(sock: socket.socket) -> None:
    """Close a connection whose client reads nothing; the sender gets an error, not a closed descriptor."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # what was not taken is dropped
        sock.shutdown(socket.SHUT_RDWR)
