"""`traceparent` and `tracestate`, as W3C Trace Context has them; what else clients write there goes nowhere."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.http.trace_context import TraceContext, parse_trace_context

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


def test_n15_06_a_parent_is_read_and_written() -> None:
    found = parse_trace_context([PARENT])
    assert found == TraceContext(TRACE, SPAN, 1)
    assert found.is_sampled
    assert found.headers() == {"traceparent": PARENT}


def test_n15_06_the_state_goes_with_it_in_its_order() -> None:
    found = parse_trace_context([f" {PARENT}\t"], ["rojo=00f067aa0ba902b7 , ,congo=t61rcWkgMzE", "tenant@vendor=1/2"])
    assert found is not None
    assert found.headers() == {"traceparent": PARENT, "tracestate": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE,tenant@vendor=1/2"}


@pytest.mark.parametrize(
    ("flags", "written", "is_sampled"),
    [("00", "00", False), ("01", "01", True), ("03", "03", True), ("ff", "03", True), ("fc", "00", False)],
)
def test_n15_06_flags_that_have_no_meaning_yet_are_not_passed_on(flags: str, written: str, is_sampled: bool) -> None:
    found = parse_trace_context([f"00-{TRACE}-{SPAN}-{flags}"])
    assert found is not None
    assert (found.headers()["traceparent"][-2:], found.is_sampled) == (written, is_sampled)


@pytest.mark.parametrize("later", [f"01-{TRACE}-{SPAN}-01", f"fe-{TRACE}-{SPAN}-01-what-comes-then"])
def test_n15_06_a_later_version_is_read_as_this_one(later: str) -> None:
    found = parse_trace_context([later])
    assert found is not None
    assert found.headers() == {"traceparent": PARENT}


@pytest.mark.parametrize(
    "parents",
    [
        [],
        [""],
        [PARENT, PARENT],
        [f"{PARENT},{PARENT}"],
        [f"{PARENT}-more"],
        [f"ff-{TRACE}-{SPAN}-01"],
        [f"01-{TRACE}-{SPAN}-01.more"],
        [PARENT.upper()],
        [f"00-{'0' * 32}-{SPAN}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [f"00-{TRACE}-{SPAN}-1"],
        [f"00-{TRACE}{SPAN}-01"],
        [f"00-{TRACE[:-1]}g-{SPAN}-01"],
        [f"00-{TRACE}-{SPAN}-01\n"],
        [f"00-{TRACE}-{SPAN}-01\r\nX-Injected: 1"],
        ["\uff10" + "0" + PARENT[2:]],
    ],
    ids=repr,
)
def test_n15_06_what_is_no_parent_is_none(parents: list[str]) -> None:
    assert parse_trace_context(parents, ["rojo=1"]) is None


@pytest.mark.parametrize(
    "states",
    [
        ["rojo"],
        ["rojo="],
        ["=1"],
        ["Rojo=1"],
        ["rojo=1,rojo=2"],
        ["rojo=a=b"],
        ["rojo=1,congo=ü"],
        ["rojo=1\r\nX-Injected: 1"],
        ["tenant@Vendor=1"],
        [",".join(f"a{number}=1" for number in range(33))],
        [f"rojo={'1' * 257}"],
        [f"a{number}={'1' * 200}" for number in range(3)],
    ],
    ids=lambda states: repr(states)[:30],
)
def test_n15_06_a_state_that_is_not_valid_is_dropped_and_the_trace_is_not(states: list[str]) -> None:
    found = parse_trace_context([PARENT], states)
    assert found == TraceContext(TRACE, SPAN, 1)


@given(st.text(max_size=80), st.text(alphabet=string.printable, max_size=600))
def test_n15_06_whatever_comes_what_is_passed_on_can_be_sent(parent: str, state: str) -> None:
    found = parse_trace_context([parent], [state]) or parse_trace_context([PARENT], [state])
    assert found is not None
    for value in found.headers().values():
        assert value.isascii()
        assert value.isprintable()
        assert len(value) <= 512
