import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.peers.keys import MAX_AGE, FleetKeys, NotOursError, WrongClockError

OLD, NEW = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
ASKED = ("GET", "10.0.0.1:5000", "/fleet/v1/pieces?ns=docker.io", "bytes=0-99")


def test_n17_02_a_request_counts_once_and_its_answer_is_sealed() -> None:
    ours, theirs = FleetKeys(OLD, lambda: 1000.0), FleetKeys(OLD, lambda: 1000.0)
    field, sealed = ours.signed(*ASKED)
    answered = theirs.opened(field, *ASKED)
    sealed.check(answered.mac("206", "bytes"), "206", "bytes")
    for mac in (None, "", answered.mac("503", "bytes"), "ü", "\udcff"):
        with pytest.raises(NotOursError):
            sealed.check(mac, "206", "bytes")
    with pytest.raises(NotOursError, match="repeated"):
        theirs.opened(field, *ASKED)


@given(st.integers(0, 3))
def test_n17_02_a_request_that_was_changed_is_none_of_ours(changed: int) -> None:
    keys = FleetKeys(OLD, lambda: 1000.0)
    field, _ = keys.signed(*ASKED)
    other = [each + "x" if number == changed else each for number, each in enumerate(ASKED)]
    with pytest.raises(NotOursError, match="not made with our"):
        keys.opened(field, *other)


@pytest.mark.parametrize("changed", range(len(ASKED)))
def test_n17_02_a_header_that_is_not_utf_8_is_none_of_ours(changed: int) -> None:
    """It stands in the text of a header as surrogates do."""
    keys = FleetKeys(OLD, lambda: 1000.0)
    field, _ = keys.signed(*ASKED)
    asked = [b"\xff\xfe".decode(errors="surrogateescape") if number == changed else each for number, each in enumerate(ASKED)]
    with pytest.raises(NotOursError, match="not made with our"):
        keys.opened(field, *asked)


@given(st.one_of(st.text(max_size=300), st.lists(st.text(max_size=40), min_size=4, max_size=4).map(" ".join)))
def test_n17_02_nonsense_is_refused(field: str) -> None:
    with pytest.raises(NotOursError):
        FleetKeys(OLD, lambda: 1000.0).opened(field, *ASKED)


@pytest.mark.parametrize("off", [-MAX_AGE - 1, MAX_AGE + 1])
def test_n17_02_a_request_of_another_time_is_refused_unless_the_clock_was_learnt(off: float) -> None:
    ours, theirs = FleetKeys(OLD, lambda: 1000.0), FleetKeys(OLD, lambda: 1000.0 + off)
    with pytest.raises(WrongClockError):
        theirs.opened(ours.signed(*ASKED)[0], *ASKED)
    theirs.opened(ours.signed(*ASKED, skew=off)[0], *ASKED)


def test_n17_02_two_keys_are_accepted_and_the_first_one_signs() -> None:
    old, both, new = (FleetKeys(key, lambda: 1000.0) for key in (OLD, f"{OLD},{NEW}", NEW))
    for one, other in ((old, both), (both, old), (new, both)):
        other.opened(one.signed(*ASKED)[0], *ASKED)
    with pytest.raises(NotOursError):
        new.opened(both.signed(*ASKED)[0], *ASKED)
