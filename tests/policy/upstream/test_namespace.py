import pytest

from regproxy.policy.routing import Host, HostKind
from regproxy.policy.upstream.namespace import misdirection

REGISTRY = Host("http://cluster:5000")
CACHE = Host("http://cluster:5000", kind=HostKind.CACHE)


def why(host: Host, namespaces: list[str], status: int = 200, *, is_regproxy: bool = False) -> str | None:
    return misdirection(host, "docker.io", {"index.docker.io"}, namespaces, status, is_regproxy=is_regproxy)


@pytest.mark.parametrize(
    ("host", "namespaces", "status", "is_regproxy"),
    [
        pytest.param(REGISTRY, [], 200, False, id="a registry names none"),
        pytest.param(REGISTRY, ["docker.io"], 200, False, id="a registry by its name"),
        pytest.param(REGISTRY, ["docker.io"], 200, True, id="a regproxy that answered for the right one"),
        pytest.param(REGISTRY, [], 404, False, id="a registry's 404"),
        pytest.param(CACHE, ["docker.io"], 200, True, id="a cache that names it"),
        pytest.param(CACHE, ["Docker.IO"], 404, True, id="a cache's 404, in capitals"),
        pytest.param(CACHE, ["index.docker.io"], 200, False, id="an alias"),
        pytest.param(CACHE, [], 401, False, id="a cache that wants a password"),
        pytest.param(CACHE, [], 429, False, id="a cache that throttles"),
        pytest.param(CACHE, [], 502, True, id="a cache in an outage"),
        pytest.param(REGISTRY, ["quay.io"], 503, True, id="an outage claims nothing"),
    ],
)
def test_n13_18_an_answer_about_the_registry_that_was_meant_is_believed(
    host: Host, namespaces: list[str], status: int, is_regproxy: bool
) -> None:
    assert why(host, namespaces, status, is_regproxy=is_regproxy) is None


@pytest.mark.parametrize(
    ("host", "namespaces", "status", "is_regproxy", "setting"),
    [
        pytest.param(CACHE, [], 200, False, "trust: [pull]", id="a cache that names none"),
        pytest.param(CACHE, [], 404, False, "trust: [pull]", id="its 404"),
        pytest.param(CACHE, [], 307, False, "trust: [pull]", id="its redirect"),
        pytest.param(CACHE, [""], 200, False, "instead of docker.io", id="a cache that names nothing"),
        pytest.param(CACHE, ["quay.io"], 200, True, "does not serve that registry", id="a cache that names another"),
        pytest.param(CACHE, ["docker.io", "quay.io"], 200, False, "instead of docker.io", id="a cache that names two"),
        pytest.param(CACHE, ["docker.io, quay.io"], 200, False, "instead of docker.io", id="a cache that names two in one field"),
        pytest.param(CACHE, ["docker.io.evil.example"], 200, False, "instead of docker.io", id="a longer name"),
        pytest.param(CACHE, [], 404, True, "does not serve docker.io", id="a regproxy that does not have this upstream"),
        pytest.param(REGISTRY, ["quay.io"], 200, True, "kind: cache", id="a regproxy that was asked without ns"),
        pytest.param(REGISTRY, ["quay.io"], 403, True, "kind: cache", id="its refusal"),
        pytest.param(REGISTRY, ["quay.io"], 404, False, "kind: cache", id="its 404, behind a proxy"),
        pytest.param(REGISTRY, [], 200, True, "kind: cache", id="an older regproxy"),
    ],
)
def test_n13_18_an_answer_that_may_be_about_another_registry_is_not_believed(
    host: Host, namespaces: list[str], status: int, is_regproxy: bool, setting: str
) -> None:
    message = why(host, namespaces, status, is_regproxy=is_regproxy)
    assert message is not None
    assert setting in message
    assert "cluster:5000" in message


def test_n13_18_a_long_namespace_is_not_repeated_whole() -> None:
    assert len(why(CACHE, ["q" * 10_000]) or "") < 300
