"""JSON from others."""

import pytest

from regproxy.oci.document import MAX_VALUES, TooManyValues, parse_json


@pytest.mark.parametrize("body", [b"[" * 100_000, b"{", b"\xff", b"\xef\xbb\xbf{}", '"a"'.encode("utf-16"), b""])
def test_what_is_no_json_in_utf_8_is_an_error_of_its_value(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w") as refused:
        parse_json(body)
    assert not isinstance(refused.value, TooManyValues)


@pytest.mark.parametrize("value", [b"{},", b"[],", b"0,"])
def test_what_would_take_too_much_memory_is_refused_before_it_is_read(value: bytes) -> None:
    with pytest.raises(TooManyValues, match=str(MAX_VALUES)):
        parse_json(b"[" + value * (MAX_VALUES + 1) + b"0]")


def test_pairs_are_handed_on_in_their_order() -> None:
    assert parse_json(b'{"a": 1, "a": 2}', list) == [("a", 1), ("a", 2)]
