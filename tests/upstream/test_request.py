import pytest

from regproxy.upstream.connections import Pool
from regproxy.upstream.request import HostRequest


@pytest.mark.parametrize(
    ("rest", "subject"),
    [
        ("manifests/1.27", "library/nginx:1.27"),
        ("manifests/sha256:ab", "library/nginx@sha256:ab"),
        ("blobs/sha256:ab", "library/nginx@sha256:ab"),
        ("referrers/sha256:ab?n=5", "library/nginx@sha256:ab"),
        ("tags/list?n=5", "library/nginx"),
    ],
)
def test_n13_23_a_failure_names_what_was_asked_for(rest: str, subject: str) -> None:
    assert HostRequest("GET", "library/nginx", rest, Pool.MANIFEST).subject == subject
