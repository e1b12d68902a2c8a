import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.http.ratelimit import RateLimit, parse_rate_limit


@pytest.mark.parametrize(
    ("limit", "remaining", "found"),
    [
        pytest.param("100;w=21600", "97;w=21600", RateLimit(100, 97, 21_600), id="Docker Hub, documented"),
        pytest.param("100;w=3600", "0;w=3600", RateLimit(100, 0, 3600), id="Docker Hub, seen in 2026"),
        pytest.param("100 ; w=60 ", "7", RateLimit(100, 7, 60), id="spaces"),
        pytest.param("100", "7", RateLimit(100, 7), id="no window"),
        pytest.param(None, None, None, id="no limit"),
        pytest.param("100;w=60", None, None, id="half of it"),
        pytest.param("many", "7", None, id="words"),
        pytest.param("-1", "7", None, id="negative"),
        pytest.param("9" * 50, "7", None, id="absurd"),
    ],
)
def test_a_limit_is_read_with_its_window(limit: str | None, remaining: str | None, found: RateLimit | None) -> None:
    assert parse_rate_limit(limit, remaining) == found


@given(st.text(), st.text(), st.text())
def test_whatever_the_headers_say_there_is_an_answer(limit: str, remaining: str, source: str) -> None:
    parse_rate_limit(limit, remaining, source)


def test_a_source_that_is_no_name_is_left_out() -> None:
    sources = [parse_rate_limit("1", "1", source) for source in ("203.0.113.7", "a\nb", None)]
    assert [found and found.source for found in sources] == ["203.0.113.7", "", ""]


@pytest.mark.parametrize(("window", "written"), [(21_600.0, "97;w=21600"), (None, "97")])
def test_a_limit_is_written_as_it_was_read_without_whom_it_is_counted_for(window: float | None, written: str) -> None:
    headers = RateLimit(100, 97, window, "an account").headers()
    assert (headers["RateLimit-Remaining"], "an account" in str(headers)) == (written, False)
    assert parse_rate_limit(headers["RateLimit-Limit"], headers["RateLimit-Remaining"]) == RateLimit(100, 97, window)
