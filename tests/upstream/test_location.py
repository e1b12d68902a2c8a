"""What a Location means, and how much of one is told."""

import pytest
from yarl import URL

from regproxy.upstream.location import next_hop, shown

HOME = URL("http://registry.example/v2/a/blobs/x")
SIGNED = "/b?X-Amz-Signature=ab%2Fcd+ef&response-content-disposition=a%20b;c:d~e%e4"

KEPT = [
    pytest.param(f"http://s3.example{SIGNED}", f"http://s3.example{SIGNED}", id="a signature"),
    pytest.param(SIGNED, f"http://registry.example{SIGNED}", id="a path"),
    pytest.param("//s3.example/x", "http://s3.example/x", id="relative to the scheme"),
    pytest.param("http://s3.example/a b?c=d e&s=%2B+", "http://s3.example/a%20b?c=d%20e&s=%2B+", id="spaces"),
    pytest.param("http://s3.example/\u00e9?\u4e2d", "http://s3.example/%C3%A9?%E4%B8%AD", id="letters of elsewhere"),
    pytest.param("http://s3.example/\udcff", "http://s3.example/%FF", id="bytes that are no text"),
    pytest.param("http://s3.example/a\tb\x00", "http://s3.example/a%09b%00", id="controls"),
    pytest.param(" http://s3.example/ ", "http://s3.example/", id="spaces around it"),
]


@pytest.mark.parametrize(("location", "target"), KEPT)
def test_n12_09_a_location_is_followed_byte_by_byte_and_quoted_only_where_a_request_line_must_be(location: str, target: str) -> None:
    found = next_hop(HOME, location)
    assert found is not None
    assert f"{found.scheme}://{found.host}{found.raw_path_qs}" == target


@pytest.mark.parametrize("location", ["ftp://x/", "file:///etc/passwd", "http://[", "http://u:p@x/", "http://@x/", "http://u@x/"])
def test_what_is_no_address_to_follow_is_none(location: str) -> None:
    assert next_hop(HOME, location) is None


def test_from_https_nothing_leads_to_http() -> None:
    assert next_hop(URL("https://registry.example/"), "http://registry.example/") is None


SHOWN = [
    pytest.param("http://user:secret@s3.example:9000/secret?secret#secret", "http://s3.example:9000", id="everything"),
    pytest.param("https://secret@s3.example/secret", "https://s3.example", id="a user"),
    pytest.param("https://us er:se@cret@s3.example:443/", "https://s3.example", id="two signs and a space"),
    pytest.param("file:///secret", "file:", id="a file"),
    pytest.param("/secret?secret", "a path", id="a path"),
    pytest.param("http://user:secret@[", "something that is no URL", id="no URL"),
    pytest.param("http://user:secret@x:port/", "something that is no URL", id="no port"),
]


@pytest.mark.parametrize(("address", "text"), SHOWN)
def test_n12_09_of_an_address_only_the_origin_is_shown(address: str, text: str) -> None:
    assert shown(address) == text


def test_the_path_of_a_token_service_is_shown() -> None:
    assert shown("https://user:secret@auth.example/token?secret", with_path=True) == "https://auth.example/token"
