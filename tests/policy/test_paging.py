from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.policy.paging import Cursor, InvalidCursor, after, first_query, page_size, smaller_pages


@given(st.from_regex(r"[0-9a-f]{0,16}", fullmatch=True), st.from_regex(r"[a-z0-9=&%+/?]{0,300}", fullmatch=True), st.booleans())
def test_n13_10_a_cursor_comes_back_as_it_was(host: str, query: str, is_same_page: bool) -> None:
    cursor = Cursor(host, query, "v1.0", is_same_page)
    assert Cursor.decode(cursor.encode()) == cursor
    assert cursor.encode().replace("-", "").replace("_", "").isalnum()


@given(st.text())
def test_n13_10_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        Cursor.decode(text)


@pytest.mark.parametrize(
    ("query", "most", "tried"),
    [
        pytest.param("", None, [""], id="no size"),
        pytest.param("next_page=a%2Bb%3D", None, ["next_page=a%2Bb%3D"], id="no size, byte by byte"),
        pytest.param("n=10000", None, ["n=10000", "n=1000", "n=100", ""], id="a large one"),
        pytest.param("n=1000&last=a", None, ["n=1000&last=a", "n=100&last=a", "last=a"], id="a thousand"),
        pytest.param("n=50", None, ["n=50", ""], id="a small one"),
        pytest.param("n=10000", 100, ["n=100", ""], id="what upstream takes is known"),
        pytest.param("n=10&last=a", 100, ["n=10&last=a", "last=a"], id="less than upstream takes"),
        pytest.param("n=10&last=a", 0, ["last=a"], id="upstream takes no size"),
        pytest.param("nn=5&n=x", None, ["nn=5&n=x"], id="another parameter"),
    ],
)
def test_n13_10_a_page_that_is_too_large_is_asked_for_in_smaller_sizes(query: str, most: int | None, tried: list[str]) -> None:
    assert list(smaller_pages(query, most)) == tried


def test_n13_10_a_list_goes_on_after_a_tag_in_any_order() -> None:
    assert (after(["c", "a", "b"], "a"), after(["c", "a"], "a"), after(["c"], "a")) == (("b",), (), None)
    assert (first_query(None), first_query(5), first_query(5, "a"), first_query(None, "a")) == ("", "n=5", "n=5&last=a", "last=a")
    assert (page_size("last=a&n=7"), page_size("last=a"), page_size("n=99999999999")) == (7, None, None)


CURSOR = Cursor("0123", "n=5&last=a", "v1.0", is_same_page=True)


def test_n13_10_a_cursor_is_read_as_it_was_written() -> None:
    assert Cursor.decode(CURSOR.encode()) == CURSOR


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a" * 100_000, id="long"),
        pytest.param("!", id="no base 64"),
        pytest.param("W10", id="an empty list"),
        pytest.param("bnVsbA", id="no list"),
        pytest.param(replace(CURSOR, after="a b").encode(), id="a tag that is none"),
        pytest.param(replace(CURSOR, host="x" * 100).encode(), id="a host that is none"),
        pytest.param(replace(CURSOR, query="a b").encode(), id="a query that is none"),
    ],
)
def test_n13_10_a_cursor_that_we_did_not_write_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        Cursor.decode(text)
