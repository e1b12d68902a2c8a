import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.http.byterange import ByteRange, UnsatisfiableRange, parse, parse_complete_length, parse_content_range, single, whole

SIZE = 1000

sizes = st.integers(0, 10**12)
bounds = st.none() | st.integers(0, 1200) | st.integers(0)


@st.composite
def headers(draw: st.DrawFn) -> str:
    """Make headers that are nearly right, which random text hardly ever is."""
    parts = draw(st.lists(st.tuples(bounds, bounds), max_size=80))
    written = [f"{'' if first is None else first}-{'' if last is None else last}" for first, last in parts]
    return draw(st.sampled_from(["bytes", "Bytes", "items", ""])) + draw(st.sampled_from(["=", " = ", ""])) + ",".join(written)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        pytest.param("bytes=0-0", [(0, 1)], id="the first byte"),
        pytest.param("bytes=0-499", [(0, 500)], id="from here to there"),
        pytest.param("bytes=500-", [(500, 1000)], id="from here on"),
        pytest.param("bytes=0-", [(0, 1000)], id="from the start on"),
        pytest.param("bytes=-500", [(500, 1000)], id="the end"),
        pytest.param("bytes=-1", [(999, 1000)], id="the last byte"),
        pytest.param("bytes=-5000", [(0, 1000)], id="a longer end than there is"),
        pytest.param("bytes=900-5000", [(900, 1000)], id="beyond the end"),
        pytest.param("bytes=999-999", [(999, 1000)], id="the last byte by its number"),
        pytest.param("BYTES=0-0", [(0, 1)], id="the unit in capitals"),
        pytest.param("bytes = 0-0", [(0, 1)], id="spaces around the sign"),
        pytest.param("bytes=0-0,-1", [(0, 1), (999, 1000)], id="the first and the last byte"),
        pytest.param("bytes=0-9, 20-29 ,\t40-49", [(0, 10), (20, 30), (40, 50)], id="blanks between ranges"),
        pytest.param("bytes=,0-9,,20-29,", [(0, 10), (20, 30)], id="empty list elements"),
        pytest.param("bytes=20-29,0-9", [(20, 30), (0, 10)], id="ranges out of order"),
        pytest.param("bytes=0-9,1000-", [(0, 10)], id="one range inside, one outside"),
        pytest.param("bytes=0-599,400-799", [(0, 600), (400, 800)], id="ranges that overlap and still are no more than the whole"),
        pytest.param("bytes=000000000000000000-1", [(0, 2)], id="leading zeros"),
    ],
)
def test_a_range_names_its_bytes(header: str, found: list[tuple[int, int]]) -> None:
    assert parse(header, SIZE) == [ByteRange(start, stop, SIZE) for start, stop in found]


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(None, id="no header"),
        pytest.param("", id="an empty header"),
        pytest.param("bytes", id="a unit alone"),
        pytest.param("bytes=", id="no ranges"),
        pytest.param("bytes=, ,", id="nothing but commas"),
        pytest.param("items=0-5", id="another unit"),
        pytest.param("=0-5", id="no unit"),
        pytest.param("bytes 0-5", id="no sign"),
        pytest.param("bytes=-", id="a dash alone"),
        pytest.param("bytes=5", id="a number alone"),
        pytest.param("bytes=500-0", id="backwards"),
        pytest.param("bytes=a-b", id="letters"),
        pytest.param("bytes=0x0-0x5", id="another base"),
        pytest.param("bytes=+0-5", id="a sign"),
        pytest.param("bytes=--5", id="two dashes"),
        pytest.param("bytes=0 - 5", id="spaces within"),
        pytest.param("bytes=\u0660-\u0665", id="digits of another script"),
        pytest.param("bytes=0-9,bogus", id="one of two is malformed"),
        pytest.param("bytes=0-9;20-29", id="another separator"),
        pytest.param(f"bytes={'9' * 19}-", id="a number that no file reaches"),
        pytest.param(f"bytes=0-{'9' * 10_000}", id="a number that is an attack"),
        pytest.param("bytes=" + ",".join(["0-0"] * 1025), id="more ranges than anyone needs"),
        pytest.param("bytes=0-,0-", id="the whole twice"),
        pytest.param("bytes=" + ",".join(["0-"] * 64), id="the whole again and again"),
    ],
)
def test_what_is_malformed_or_greedy_is_ignored(header: str | None) -> None:
    assert parse(header, SIZE) == []


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-2000", "bytes=5000-10000", "bytes=-0", "bytes=-0,1000-1000"])
def test_a_range_outside_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(UnsatisfiableRange, match="within 1000 bytes"):
        parse(header, SIZE)


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-1", "bytes=0-0"])
def test_something_empty_is_sent_as_it_is(header: str) -> None:
    """A 206 could not name its bytes, and a client that always begins with `bytes=0-` would take a 416 for a failure."""
    assert parse(header, 0) == []


@given(headers() | st.text(), sizes)
def test_a_range_never_leaves_the_content_nor_repeats_more_than_all_of_it(header: str, size: int) -> None:
    try:
        found = parse(header, size)
    except UnsatisfiableRange:
        return
    assert all(0 <= each.start < each.stop <= each.size == size for each in found)
    assert sum(each.length for each in found) <= size


@given(sizes, st.data())
def test_a_single_range_comes_back_from_its_content_range(size: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, size))
    byte_range = ByteRange(start, stop, size)
    if start < stop:
        assert parse(f"bytes={start}-{stop - 1}", size) == [byte_range]
        assert parse_content_range(byte_range.content_range()) == byte_range


def test_the_whole_is_a_range_too() -> None:
    assert whole(10) == ByteRange(0, 10, 10)
    assert whole(10).is_whole
    assert whole(10).length == 10
    assert not ByteRange(1, 10, 10).is_whole
    assert not ByteRange(0, 9, 10).is_whole


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param("bytes 0-499/1000", ByteRange(0, 500, 1000), id="a part"),
        pytest.param("bytes 0-999/1000", ByteRange(0, 1000, 1000), id="the whole"),
        pytest.param(" Bytes 0-0/1 ", ByteRange(0, 1, 1), id="blanks and capitals"),
        pytest.param(None, None, id="no header"),
        pytest.param("", None, id="an empty header"),
        pytest.param("bytes */1000", None, id="no part"),
        pytest.param("bytes 0-499/*", None, id="no size"),
        pytest.param("bytes 0-1000/1000", None, id="beyond the end"),
        pytest.param("bytes 500-499/1000", None, id="backwards"),
        pytest.param("bytes 0--1/0", None, id="less than nothing"),
        pytest.param("bytes=0-499/1000", None, id="the sign of a request"),
        pytest.param("items 0-499/1000", None, id="another unit"),
        pytest.param("bytes \u0660-\u0664/\u0661\u0660", None, id="digits of another script"),
        pytest.param(f"bytes 0-0/{'9' * 5000}", None, id="a number that is an attack"),
    ],
)
def test_an_upstream_says_which_part_it_sends(header: str | None, expected: ByteRange | None) -> None:
    assert parse_content_range(header) == expected


@given(st.text() | st.from_regex(r"bytes \d+-\d+/\d+", fullmatch=True))
def test_a_part_that_upstream_names_lies_within_its_size(header: str) -> None:
    found = parse_content_range(header)
    assert found is None or 0 <= found.start < found.stop <= found.size


@pytest.mark.parametrize(
    ("header", "part"),
    [
        pytest.param("bytes=5-9", (5, 10), id="from, to"),
        pytest.param("Bytes = 5-", (5, None), id="to the end"),
        pytest.param("bytes=-5", (-5, None), id="from the end"),
        pytest.param("bytes=-0", None, id="nothing"),
        pytest.param("bytes=0-1,3-4", None, id="several"),
        pytest.param("bytes=9-5", None, id="backwards"),
        pytest.param("lines=1-2", None, id="another unit"),
        pytest.param(None, None, id="none"),
    ],
)
def test_one_range_can_be_read_before_the_size_is_known(header: str | None, part: tuple[int, int | None] | None) -> None:
    assert single(header) == part


@pytest.mark.parametrize(
    ("header", "length"),
    [
        ("bytes */9", 9),
        ("Bytes */0", 0),
        ("bytes 0-1/9", None),
        ("bytes */*", None),
        ("bytes */-1", None),
        (f"bytes */{'9' * 19}", None),
        (None, None),
    ],
)
def test_a_416_tells_how_long_the_whole_is(header: str | None, length: int | None) -> None:
    assert parse_complete_length(header) == length


def test_a_range_is_written_as_its_first_and_last_byte() -> None:
    assert ByteRange(0, 5, 10).content_range() == "bytes 0-4/10"
