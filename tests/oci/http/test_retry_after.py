import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.http.retry_after import parse_retry_after

NOW = 1_785_585_600.0  # Sat, 01 Aug 2026 12:00:00 GMT
LONGEST = 6 * 3600.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("0", 0.0, id="at once"),
        pytest.param("120", 120.0, id="seconds"),
        pytest.param(" 120 ", 120.0, id="blanks around"),
        pytest.param("Sat, 01 Aug 2026 12:01:00 GMT", 60.0, id="a date"),
        pytest.param("Sat, 01 Aug 2026 14:01:00 +0200", 60.0, id="a date elsewhere"),
        pytest.param("Sat, 01 Aug 2026 12:01:00 -0000", 60.0, id="a date that tells no zone"),
        pytest.param("Sat, 01 Aug 2026 11:00:00 GMT", 0.0, id="a date in the past"),
        pytest.param("1785585660", 60.0, id="Docker Hub: a Unix time"),
        pytest.param("1785580000", 0.0, id="a Unix time in the past"),
        pytest.param("999999999", LONGEST, id="a delay of decades"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST, id="a date of another age"),
    ],
)
def test_a_pause_is_read_in_every_form_it_comes_in(header: str, seconds: float) -> None:
    assert parse_retry_after(header, NOW) == seconds


@pytest.mark.parametrize(
    "header", [None, "", "soon", "-5", "1.5", "985.86µs", "\u0663", "9" * 5000, "Sat, 99 Aug 2026 12:00:00 GMT", "0 0 0"]
)
def test_what_is_no_pause_is_none(header: str | None) -> None:
    assert parse_retry_after(header, NOW) is None


dates = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Sat", ""]),
    *(st.integers(-1, 40), st.sampled_from(["Aug", "xxx"]), st.integers(-1, 100_000)),
    *(st.integers(-1, 99) for _ in range(3)),
    st.sampled_from(["GMT", "+0200", "-9999", "+99999999", "-0000", ""]),
)


@given(st.text() | dates | st.integers().map(str))
def test_any_text_is_a_bearable_pause_or_none(header: str) -> None:
    seconds = parse_retry_after(header, NOW)
    assert seconds is None or 0 <= seconds <= LONGEST
