"""The PROXY protocol."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.policy.clients.proxy_protocol import InvalidProxyHeader, header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FOUR = bytes([203, 0, 113, 7, 10, 0, 0, 1, 0, 80, 19, 136])
SIX = bytes.fromhex("20010db8000000000000000000000001") + bytes(16) + b"\0\x50\x13\x88"
MAPPED = bytes.fromhex("00000000000000000000ffffcb007107") + bytes(16) + b"\0\x50\x13\x88"


def _second(command: int, family: int, rest: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + bytes([command, family]) + (len(rest) if length is None else length).to_bytes(2, "big") + rest


def _read(data: bytes) -> tuple[str | None, bytes]:
    """Read as a connection would, byte for byte as they are wanted; return what is left, too."""
    reading = header()
    wanted = next(reading)
    while True:
        assert 0 < wanted <= 4096
        if len(data) < wanted:
            raise EOFError
        piece, data = data[:wanted], data[wanted:]
        try:
            wanted = reading.send(piece)
        except StopIteration as end:
            return end.value, data


RIGHT = [
    pytest.param(b"PROXY TCP4 203.0.113.7 10.0.0.1 80 5000\r\n", "203.0.113.7", id="1, IPv4"),
    pytest.param(b"PROXY TCP6 2001:db8::1 ::1 80 5000\r\n", "2001:db8::1", id="1, IPv6"),
    pytest.param(b"PROXY TCP6 ::ffff:203.0.113.7 ::1 80 5000\r\n", "203.0.113.7", id="1, IPv4 within IPv6"),
    pytest.param(b"PROXY UNKNOWN\r\n", None, id="1, the shortest"),
    pytest.param(b"PROXY UNKNOWN ffff::1 ffff::1 65535 65535\r\n", None, id="1, unknown"),
    pytest.param(_second(0x21, 0x11, FOUR), "203.0.113.7", id="2, IPv4"),
    pytest.param(_second(0x21, 0x21, SIX), "2001:db8::1", id="2, IPv6"),
    pytest.param(_second(0x21, 0x21, MAPPED), "203.0.113.7", id="2, IPv4 within IPv6"),
    pytest.param(_second(0x21, 0x11, FOUR + b"\x03\x00\x04abcd"), "203.0.113.7", id="2, with more behind"),
    pytest.param(_second(0x20, 0x00, b""), None, id="2, a health check"),
    pytest.param(_second(0x20, 0x11, FOUR), None, id="2, its own word on addresses"),
    pytest.param(_second(0x21, 0x31, bytes(216)), None, id="2, a socket of the same machine"),
]


@pytest.mark.parametrize(("data", "client"), RIGHT)
def test_n19_07_a_proxy_names_the_client_of_a_connection(data: bytes, client: str | None) -> None:
    assert _read(data + b"GET / HTTP/1.1\r\n") == (client, b"GET / HTTP/1.1\r\n")


WRONG = [
    pytest.param(b"GET /v2/ HTTP/1.1\r\n\r\n", id="HTTP"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00", id="TLS"),
    pytest.param(b"PROXY TCP4 203.0.113.7 10.0.0.1 80\r\n", id="1, too little"),
    pytest.param(b"PROXY TCP4 2001:db8::1 10.0.0.1 80 5000\r\n", id="1, another family"),
    pytest.param(b"PROXY TCP4 nobody 10.0.0.1 80 5000\r\n", id="1, no address"),
    pytest.param(b"PROXY TCP6 fe80::1%eth0 ::1 80 5000\r\n", id="1, an address of a network card"),
    pytest.param(b"PROXY UDP4 203.0.113.7 10.0.0.1 80 5000\r\n", id="1, no stream"),
    pytest.param(b"PROXY TCP4 " + b"1" * 200 + b"\r\n", id="1, no end"),
    pytest.param(_second(0x31, 0x11, FOUR), id="2, version 3"),
    pytest.param(_second(0x22, 0x11, FOUR), id="2, another command"),
    pytest.param(_second(0x21, 0x11, FOUR, 5000), id="2, too long"),
    pytest.param(_second(0x21, 0x11, FOUR[:8]), id="2, too short"),
    pytest.param(_second(0x21, 0x11, b""), id="2, empty"),
]


@pytest.mark.parametrize("data", WRONG)
def test_n19_07_what_is_no_proxy_header_ends_the_connection(data: bytes) -> None:
    with pytest.raises(InvalidProxyHeader):
        _read(data)


@given(st.sampled_from([b"", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21"]), st.binary(max_size=200))
def test_n19_07_whatever_comes_is_a_header_or_none(begin: bytes, rest: bytes) -> None:
    with contextlib.suppress(InvalidProxyHeader, EOFError):
        _read(begin + rest)
