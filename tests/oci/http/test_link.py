import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.http.link import is_query, next_query


@pytest.mark.parametrize(
    ("fields", "query"),
    [
        (['</v2/a/tags/list?n=1&last=b>; rel="next"'], "n=1&last=b"),
        (["<https://elsewhere.test/x?last=%2Bb%3D%3D>; rel=next"], "last=%2Bb%3D%3D"),
        (['</a?x=1>; rel="prev", </a?x=2>; title="a, b"; REL="Next"'], "x=2"),
        (['</a?x=1>; rel="prev"', '</a?x=2>; rel="next last"'], "x=2"),
        (['<?n=1,2>; rel="next"'], "n=1,2"),
        (['<a?x=1;y=2#f> ; rel = "next"'], "x=1;y=2"),
        ([], None),
        ([""], None),
        (['</a>; rel="next"'], None),
        (['</a?x=1>; rel="nextone"'], None),
        (['</a?x=1>; title="rel=next"; rel="prev"'], None),
        (["</a?x=1>"], None),
        (['</a?x y>; rel="next"'], None),
        (['<https://[?x=1>; rel="next"'], None),
        (['</a?\u00e4>; rel="next"'], None),
    ],
)
def test_n13_10_a_link_to_the_next_page_is_its_query_as_it_was_written(fields: list[str], query: str | None) -> None:
    assert next_query(fields) == query


@given(st.text(max_size=200))
def test_n13_10_no_field_breaks_anything(text: str) -> None:
    found = next_query([text, f'<{text}>; rel="next"'])
    assert found is None or is_query(found)
