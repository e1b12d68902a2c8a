"""Sockets that are shared on purpose, and only then."""

import socket

import pytest

from regproxy.config import Address
from regproxy.server import sockets


def test_each_worker_has_a_socket_of_its_own_at_one_port() -> None:
    found = sockets.opened(Address("127.0.0.1", 0), 4)
    assert len({sockets.port(each) for each in found}) == 1
    assert len(found) == 4
    for (each,) in found:
        each.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_that_somebody_has_is_refused_by_name(workers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(OSError, match=f"cannot listen at 127.0.0.1:{address.port}: Address already in use"):
            sockets.opened(address, workers)


def test_a_port_that_another_of_us_shares_is_refused() -> None:
    (first,), (second,) = found = sockets.opened(Address("127.0.0.1", 0), 2)
    with pytest.raises(OSError, match="Address already in use"):
        sockets.opened(Address("127.0.0.1", sockets.port(found[0])), 2)
    first.close()
    second.close()


def test_n15_01_everywhere_is_both_families_at_one_port() -> None:
    [found] = sockets.opened(Address("*", 0))
    families = {each.family for each in found}
    ports = {each.getsockname()[1] for each in found}
    for each in found:
        each.close()
    assert socket.AF_INET in families
    assert len(ports) == 1
