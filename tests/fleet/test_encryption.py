import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.fleet.encryption import Encryption, derived

KEY, OTHER, NOW = "0123456789abcdef" * 4, "fedcba9876543210" * 4, 1_785_585_600.0
SEAL, OF_ANOTHER = Encryption(KEY), Encryption(OTHER)


@given(st.text(), st.binary())
def test_what_was_sealed_is_opened_under_its_name_with_its_key_and_no_other(name: str, value: bytes) -> None:
    sealed = SEAL.sealed(name, value, NOW)
    assert SEAL.opened(name, sealed, NOW, 60) == value
    assert SEAL.opened(f"{name}x", sealed, NOW, 60) is None
    assert OF_ANOTHER.opened(name, sealed, NOW, 60) is None


@given(st.binary(), st.integers(0, 40), st.integers(1, 255))
def test_what_was_altered_is_not_opened(value: bytes, place: int, change: int) -> None:
    sealed = bytearray(SEAL.sealed("name", value, NOW))
    sealed[place % len(sealed)] ^= change
    assert SEAL.opened("name", bytes(sealed), NOW, 60) is None


@given(st.binary())
def test_what_a_stranger_wrote_is_not_opened(value: bytes) -> None:
    assert SEAL.opened("name", value, NOW, 60) is None


def test_a_name_tells_nothing_of_what_it_is_made_of() -> None:
    assert SEAL.names("password") == SEAL.names("password") != Encryption(OTHER).names("password")
    assert "password" not in str(SEAL.names("password"))


def test_the_same_value_is_never_sealed_the_same_way_twice() -> None:
    assert SEAL.sealed("name", b"value", NOW) != SEAL.sealed("name", b"value", NOW)


@pytest.mark.parametrize(("age", "is_opened"), [(0, True), (60, True), (61, False), (-60, True), (-61, False), (1e9, False)])
def test_n12_18_a_value_has_its_time(age: float, *, is_opened: bool) -> None:
    sealed = SEAL.sealed("name", b"value", NOW)
    assert (SEAL.opened("name", sealed, NOW + age, 60) is not None) is is_opened


def test_n12_18_its_time_cannot_be_altered() -> None:
    late, early = (SEAL.sealed("name", b"value", when) for when in (NOW, NOW - 3600))
    assert SEAL.opened("name", late[:9] + early[9:], NOW, 60) is None


def test_n12_18_of_two_keys_the_first_seals_and_either_opens() -> None:
    first, second, both = Encryption(KEY), Encryption(OTHER), Encryption(f"{OTHER}, {KEY}")
    assert both.opened("name", first.sealed("name", b"value", NOW), NOW, 60) == b"value"
    assert second.opened("name", both.sealed("name", b"value", NOW), NOW, 60) == b"value"
    assert both.names("a") == [*second.names("a"), *first.names("a")]


def test_n12_18_each_purpose_has_a_key_of_its_own() -> None:
    assert len({derived(KEY, purpose) for purpose in ("redis names", "redis values", "redis locks")} | {KEY.encode()}) == 4


@given(st.binary())
def test_n12_18_nobody_makes_a_mark_without_the_key(mark: bytes) -> None:
    assert not SEAL.is_mark("lock", mark, NOW, 5)
    ours = SEAL.mark("lock", NOW)
    assert SEAL.is_mark("lock", ours, NOW + 5, 5)
    assert not any(
        (SEAL.is_mark("lock", ours, NOW + 6, 5), SEAL.is_mark("other", ours, NOW, 5), Encryption(OTHER).is_mark("lock", ours, NOW, 5))
    )
