"""Which failure of several hosts is the upstream's answer."""

import pytest

from regproxy.policy.routing import Host, Trust
from regproxy.ports import InvalidContent, LocalResourceError, NotFound, Refused, Throttled, Unavailable, UpstreamError
from regproxy.upstream.hosts.verdict import is_answered, verdict

REGISTRY = Host("https://registry.example")
MIRROR = Host("https://mirror.example", frozenset({Trust.PULL}))


@pytest.mark.parametrize(
    ("mirrors", "registrys", "found"),
    [
        pytest.param(Refused("m"), NotFound("r"), NotFound, id="the registry answers"),
        pytest.param(Refused("m"), Unavailable("r"), Unavailable, id="a mirror's refusal is none of the registry"),
        pytest.param(Unavailable("m"), Throttled("r", 7), Throttled, id="throttled"),
        pytest.param(Unavailable("m"), LocalResourceError("r"), LocalResourceError, id="not asked"),
    ],
)
def test_what_counts_is_what_a_host_trusted_to_resolve_says(mirrors: UpstreamError, registrys: UpstreamError, found: type) -> None:
    failures = [(MIRROR, mirrors), (REGISTRY, registrys)]
    assert type(verdict("docker.io", failures)) is found
    assert is_answered(failures) is (found is NotFound)
    assert not is_answered(failures[:1])


TOO_LARGE = InvalidContent("too large", unverified=True)


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        pytest.param(TOO_LARGE, NotFound("r"), NotFound, id="an answer counts"),
        pytest.param(TOO_LARGE, InvalidContent("verified"), InvalidContent, id="what matches its digest counts"),
        pytest.param(TOO_LARGE, Unavailable("r"), Unavailable, id="the other one may have it right, later"),
        pytest.param(TOO_LARGE, TOO_LARGE, InvalidContent, id="all say so"),
    ],
)
def test_n12_10_what_is_too_large_to_be_verified_is_no_word_about_a_digest(
    first: UpstreamError, second: UpstreamError, found: type
) -> None:
    assert not is_answered([(REGISTRY, first)])
    assert type(verdict("docker.io", [(REGISTRY, first), (REGISTRY, second)])) is found
    assert verdict("docker.io", [(REGISTRY, first)]) is first
