from hypothesis import given
from hypothesis import strategies as st

from regproxy.state.seal import Seal

SEAL = Seal("key")


@given(st.text(), st.binary())
def test_what_was_sealed_is_opened_under_its_name_with_its_key_and_no_other(name: str, value: bytes) -> None:
    sealed = SEAL.sealed(name, value)
    assert SEAL.opened(name, sealed) == value
    assert SEAL.opened(f"{name}x", sealed) is None
    assert Seal("other").opened(name, sealed) is None


@given(st.binary(), st.integers(0, 40), st.integers(1, 255))
def test_what_was_altered_is_not_opened(value: bytes, place: int, change: int) -> None:
    sealed = bytearray(SEAL.sealed("name", value))
    sealed[place % len(sealed)] ^= change
    assert SEAL.opened("name", bytes(sealed)) is None


@given(st.binary())
def test_what_a_stranger_wrote_is_not_opened(value: bytes) -> None:
    assert SEAL.opened("name", value) is None


def test_a_name_tells_nothing_of_what_it_is_made_of() -> None:
    assert SEAL.name("password") == SEAL.name("password") != Seal("other").name("password")
    assert "password" not in SEAL.name("password")


def test_the_same_value_is_never_sealed_the_same_way_twice() -> None:
    assert SEAL.sealed("name", b"value") != SEAL.sealed("name", b"value")
