import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.http.authority import Authority


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("quay.io", "quay.io"),
        ("Quay.IO:443", "quay.io"),
        ("quay.io:80", "quay.io"),
        ("quay.io:", "quay.io"),
        ("quay.io:5000", "quay.io:5000"),
        ("quay.io:00443", "quay.io"),
        ("[FD00:0:0::1]:5000", "[fd00::1]:5000"),
        ("[::1]", "[::1]"),
        ("quay.io.:5000", "quay.io.:5000"),
    ],
)
def test_n13_15_an_authority_has_one_spelling(text: str, spelt: str) -> None:
    assert str(Authority.parse(text)) == spelt


@pytest.mark.parametrize(
    "text", ["", ":5000", "::1", "a:b", "a:5:5", "[::1", "[::g]", "[1:2]", "u@a", "a/b", "a b", "a\n", "\u212a", "a:123456"]
)
def test_n13_15_what_is_no_authority_is_none(text: str) -> None:
    assert Authority.parse(text) is None


def test_n13_15_the_dot_of_a_fully_qualified_name_is_taken_off_once() -> None:
    assert [str(Authority(text).rooted()) for text in ("a.b.", "a.b", ".", "a..")] == ["a.b", "a.b", ".", "a."]


@given(st.text())
def test_n13_15_a_spelling_is_its_own_spelling(text: str) -> None:
    found = Authority.parse(text)
    assert found is None or Authority.parse(str(found)) == found


def test_the_dot_that_ends_a_name_is_no_part_of_the_host() -> None:
    assert str(Authority("quay.io.", 5000).rooted()) == "quay.io:5000"
    assert str(Authority(".").rooted()) == "."


def test_a_host_is_known_without_its_port() -> None:
    assert str(Authority("quay.io", 5000).portless()) == "quay.io"
