"""S30: names and traversal. Paths are hostile until the strict grammar has read them, and are never decoded."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regproxy.oci import endpoint
from regproxy.oci.errors import RegistryError
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, raw

HOSTILE = [
    "/v2/../../etc/passwd",
    "/v2/a/../b/manifests/1",
    "/v2/%2e%2e/%2e%2e/etc/blobs/x",
    "/v2/a/..%2f..%2fetc/blobs/x",
    "/v2/a//b/manifests/1",
    "//v2/a/manifests/1",
    "/v2/a/manifests/%00",
    "/v2/a%0d%0aX-Evil:1/manifests/1",
    "/v2/a%252fb/manifests/1",
    "/v2/LIBRARY/app/manifests/1",
    f"/v2/{'a' * 300}/manifests/1",
    "/v2/h\u00e9/manifests/1",
    "/v2/a/blobs/sha256:../../../../etc/passwd",
    "/v2/a/blobs/sha256:abc",
    f"/v2/a/blobs/sha256%3A{'a' * 64}",
    f"/v2/a/blobs/sha256:{'A' * 64}",
    f"/v2/a/manifests/{'t' * 129}",
    "/v2/a/manifests/.hidden",
    "/v2/a/manifests/",
    "/v2/a/manifests/1/",
    "/v2//manifests/1",
    "/v1/search",
    "/metrics",
    "/healthz",
    "/v2/_catalog?n=1000000000000",
    "/v2/a/tags/list/",
]


@pytest.mark.parametrize("path", HOSTILE)
async def test_s30_a_hostile_path_reaches_neither_upstream_nor_disk(upstream: FakeRegistry, proxy: Rig, tmp_path: Path, path: str) -> None:
    before = _files(tmp_path)
    request = f"GET {path} HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n"
    answer = await raw(proxy.port, request.encode())
    assert answer.received[9:12] in {b"400", b"404"}
    assert b'{"errors": [{"code": ' in answer.received or b"Bad Request" in answer.received
    assert b"X-Evil:" not in answer.received.partition(b"\r\n\r\n")[0]
    assert upstream.ledger == []
    assert _files(tmp_path) == before


def _files(root: Path) -> list[Path]:
    return sorted(root.rglob("*"))


@settings(max_examples=2000, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.text(alphabet="/.%2fF0\\:@_-ab\x00\r\n\u00e9", max_size=40))
def test_s30_whatever_parses_has_names_of_the_grammar_only(tail: str) -> None:
    try:
        asked = endpoint.parse("GET", f"/v2/{tail}")
    except RegistryError:
        return
    name = getattr(asked, "name", "")
    assert set(name) <= set("/.fab20_-")
    assert ".." not in name
    assert not name.startswith("/")
