"""What a request asks for beside its endpoint."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from regproxy.oci.digest import Digest
from regproxy.oci.errors import RegistryError
from regproxy.oci.http.byterange import ByteRange
from regproxy.policy.paging import Cursor
from regproxy.web.parameters import byte_ranges, cursor, host_of, page_size, path_of, wanted_parts, warning

DIGEST = Digest.of(b"blob")


def request(target: str = "/", **headers: str) -> web.BaseRequest:
    return make_mocked_request("GET", target, {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        ("/v2/", "proxy:5000", "/v2/"),
        ("/v2/a%2Fb/x?ns=docker.io", "proxy:5000", "/v2/a%2Fb/x"),
        ("http://quay.io/v2/a?n=1", "quay.io", "/v2/a"),
        ("http://quay.io:443", "quay.io:443", "/"),
    ],
)
def test_an_absolute_form_overrides_the_host_and_no_path_is_decoded(target: str, host: str, path: str) -> None:
    asked = request(target, Host="proxy:5000")
    assert (host_of(asked), path_of(asked)) == (host, path)


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, None),
        ({"Range": "bytes=0-1"}, "bytes=0-1"),
        ({"Range": "bytes=0-1", "If_Range": f' "{DIGEST}" '}, "bytes=0-1"),
        ({"Range": "bytes=0-1", "If_Range": '"another"'}, None),
        ({"Range": "bytes=0-1", "If_Range": "Thu, 26 Nov 2026 07:00:00 GMT"}, None),
        ({"Range": "bytes=0-1", "If_None_Match": '"another"'}, None),
    ],
    ids=str,
)
def test_parts_are_wanted_of_this_very_content_and_on_no_condition(headers: dict[str, str], wanted: str | None) -> None:
    assert wanted_parts(request(**headers), DIGEST) == wanted


async def test_ranges_are_those_that_the_content_has() -> None:
    assert await byte_ranges(request(), DIGEST, 10) == []
    assert await byte_ranges(request(Range="bytes=2-3,8-"), DIGEST, 10) == [ByteRange(2, 4, 10), ByteRange(8, 10, 10)]
    with pytest.raises(RegistryError) as refused:
        await byte_ranges(request(Range="bytes=10-"), DIGEST, 10)
    assert refused.value.status == 416


@pytest.mark.parametrize(("text", "size"), [(None, None), ("0", 0), ("100", 100), ("10001", 10_000), ("9" * 1000, 10_000)])
def test_a_page_is_bounded(text: str | None, size: int | None) -> None:
    """Else a server allocates what a client asks for: distribution CVE-2023-2253."""
    assert page_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "x", "1.5", "\u0661", " 1"])
def test_a_size_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(RegistryError, match="n is not a number"):
        page_size(text)


def test_a_cursor_is_ours_or_refused() -> None:
    found = Cursor("", "n=2", "tag")
    assert (cursor(None), cursor(found.encode())) == (None, found)
    with pytest.raises(RegistryError) as refused:
        cursor("x")
    assert (refused.value.status, refused.value.code) == (400, "PAGINATION_NUMBER_INVALID")


def test_a_warning_is_one_quoted_line() -> None:
    assert warning('it "may"\r\nbe stale') == r'299 - "it \"may\"\r\nbe stale"'
