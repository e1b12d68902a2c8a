"""Ports that nobody listens on, for programs that must be told one."""

import itertools
import os
import random
import socket
from pathlib import Path

_PROCESSES = 16  # that run tests at the same time, each with ports of its own
_LOWEST = 10_240


def _candidates() -> list[int]:
    """List the ports of this process, in an order of its own; the kernel gives none of them to a connection that goes out."""
    ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PROCESSES
    ports = range(_LOWEST + number, max(ephemeral, _LOWEST + 1_000 * _PROCESSES), _PROCESSES)
    return random.Random(os.getpid()).sample(ports, len(ports))


_ports = itertools.cycle(_candidates())


def free_port() -> int:
    """Find a port that nobody listens on, another one each time: one that was just closed may be taken before it is used."""
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("a cycle does not end")
