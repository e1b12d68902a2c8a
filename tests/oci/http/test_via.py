import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.http.via import format_via, parse_via, pseudonym

ONE, OTHER = pseudonym("one"), pseudonym("other")


@pytest.mark.parametrize(
    ("fields", "hops"),
    [
        pytest.param([], (), id="nobody"),
        pytest.param([f"1.1 {ONE}"], (ONE,), id="one"),
        pytest.param([f"1.1 {ONE}, 1.1 {OTHER}"], (ONE, OTHER), id="two in a field"),
        pytest.param([f"1.1 {ONE}", f"2.0 {OTHER} (nginx)"], (ONE, OTHER), id="two fields, and a comment"),
        pytest.param([f"1.1 cdn.example, HTTP/1.1 {ONE}"], (ONE,), id="others between"),
        pytest.param(["1.1 regproxy, 1.1 regproxy-1234"], (), id="somebody of a like name"),
        pytest.param([f"1.1 not-{ONE}, 1.1 {ONE}0, 1.1 {ONE}-x"], (), id="somebody whose name holds ours"),
    ],
)
def test_only_caches_of_our_kind_are_hops(fields: list[str], hops: tuple[str, ...]) -> None:
    assert parse_via(fields) == hops


@given(st.lists(st.text()))
def test_what_was_written_is_read(names: list[str]) -> None:
    hops = tuple(pseudonym(name) for name in names)
    assert parse_via([format_via(hops)]) == hops


@given(st.text())
def test_nothing_of_what_a_client_writes_is_passed_on_but_names(field: str) -> None:
    assert set(format_via(parse_via([field]))) <= set("1., regproxy-0123456789abcdef")


def test_facts_are_told_apart() -> None:
    assert pseudonym("a", "b") != pseudonym("ab")


def test_each_hop_is_written_with_its_protocol() -> None:
    assert format_via([ONE, OTHER]) == f"1.1 {ONE}, 1.1 {OTHER}"
