from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.digest import Digest
from regproxy.oci.errors import RegistryError
from regproxy.policy.credential import Credential, DockerConfig, Secret
from regproxy.policy.freshness import PullPolicy, TagPolicy
from regproxy.policy.routing import Host, HostKind, Routes, Trust, Upstream
from regproxy.policy.upstream.transport import Proxy

HUB = Upstream("docker.io", (Host("https://registry-1.docker.io"),), aliases=frozenset({"index.docker.io", "registry-1.docker.io"}))
QUAY = Upstream(
    "quay.io", (Host("https://quay.io"),), serve_as=frozenset({"quay.proxy.example", "10.0.0.1:5000", "[fd00::1]", "[fd00::2]:5000"})
)
LOCAL = Upstream("registry.local:5000", (Host("http://registry.local:5000"),))
SIX = Upstream("[fd00::9]:5000", (Host("http://[fd00::9]:5000"),))
ROUTES = Routes([HUB, QUAY, LOCAL, SIX], "docker.io")

components = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
names = st.lists(components | st.sampled_from(["docker.io", "quay.io"]), min_size=1, max_size=4).map("/".join)


def refusal(name: str, namespaces: list[str], host: str = "") -> RegistryError:
    with pytest.raises(RegistryError) as refused:
        ROUTES.find(name, namespaces, host)
    return refused.value


@pytest.mark.parametrize(
    ("name", "namespaces", "host", "found"),
    [
        pytest.param("library/nginx", ["docker.io"], "", "docker.io/library/nginx", id="ns"),
        pytest.param("org/app", ["quay.io"], "", "quay.io/org/app", id="another ns"),
        pytest.param("nginx", ["docker.io"], "", "docker.io/library/nginx", id="ns, an official image by its short name"),
        pytest.param("org/app", ["index.docker.io"], "", "docker.io/org/app", id="ns, an alias"),
        pytest.param("org/app", ["registry-1.docker.io:443"], "", "docker.io/org/app", id="ns, an alias with its port"),
        pytest.param("org/app", ["Quay.IO"], "", "quay.io/org/app", id="ns in capitals"),
        pytest.param("app", ["registry.local:5000"], "", "registry.local:5000/app", id="ns, a port of its own"),
        pytest.param("quay.io/org/app", ["quay.io"], "", "quay.io/org/app", id="ns and the same name in the path"),
        pytest.param("index.docker.io/nginx", ["docker.io"], "", "docker.io/library/nginx", id="ns and an alias in the path"),
        pytest.param("quay.io/org/app", ["docker.io"], "", "docker.io/quay.io/org/app", id="ns and another name in the path"),
        pytest.param("org/app", ["quay.io"], "10.0.0.1:5000", "quay.io/org/app", id="ns and a Host"),
        pytest.param("org/app", ["docker.io"], "quay.proxy.example", "docker.io/org/app", id="ns against a Host"),
        pytest.param("org/app", [], "quay.proxy.example", "quay.io/org/app", id="Host"),
        pytest.param("app", [], "QUAY.proxy.example:443", "quay.io/app", id="Host in capitals, with its port"),
        pytest.param("org/app", [], "10.0.0.1:5000", "quay.io/org/app", id="Host, an address"),
        pytest.param("quay.io/org/app", [], "quay.proxy.example", "quay.io/org/app", id="Host and the same name in the path"),
        pytest.param("docker.io/org/app", [], "quay.proxy.example", "quay.io/docker.io/org/app", id="Host and another name in the path"),
        pytest.param("quay.io/org/app", [], "", "quay.io/org/app", id="path"),
        pytest.param("docker.io/nginx", [], "", "docker.io/library/nginx", id="path, an official image by its short name"),
        pytest.param("registry-1.docker.io/a/b", [], "evil.example", "docker.io/a/b", id="path, an alias, with any Host"),
        pytest.param("quay.io", [], "", "docker.io/library/quay.io", id="a registry's name alone is an image"),
        pytest.param("quay.io/quay.io/app", [], "", "quay.io/quay.io/app", id="a registry's name is taken off once"),
        pytest.param("gcr.io/org/app", [], "", "docker.io/gcr.io/org/app", id="a registry that is not configured, in the path"),
        pytest.param("nginx", [], "", "docker.io/library/nginx", id="default"),
        pytest.param("org/app", [], "127.0.0.1:5000", "docker.io/org/app", id="default, with any Host"),
        pytest.param("app", ["[FD00:0:0::9]:5000"], "", "[fd00::9]:5000/app", id="n13_15: ns, an IPv6 literal spelt otherwise"),
        pytest.param("org/app", [], "quay.proxy.example:5000", "quay.io/org/app", id="n13_15: Host at our own port"),
        pytest.param("org/app", [], "quay.proxy.example.", "quay.io/org/app", id="n13_15: Host, fully qualified"),
        pytest.param("org/app", [], "Quay.Proxy.Example.:5000", "quay.io/org/app", id="n13_15: Host, capitals, dot and port"),
        pytest.param("org/app", [], "10.0.0.1:05000", "quay.io/org/app", id="n13_15: Host, a port with a zero"),
        pytest.param("org/app", [], "10.0.0.1:5001", "docker.io/org/app", id="n13_15: Host, listed with another port"),
        pytest.param("org/app", [], "10.0.0.1", "docker.io/org/app", id="n13_15: Host, listed with a port, at the default one"),
        pytest.param("org/app", [], "[FD00:0::1]:5000", "quay.io/org/app", id="n13_15: Host, IPv6 at any port"),
        pytest.param("org/app", [], "[fd00::2]:5000", "quay.io/org/app", id="n13_15: Host, IPv6 and its port"),
        pytest.param("org/app", [], "[fd00::2]:5001", "docker.io/org/app", id="n13_15: Host, IPv6 and another port"),
        pytest.param("org/app", [], "quay.io", "quay.io/org/app", id="n13_15: Host is a registry's own name"),
        pytest.param("org/app", [], "QUAY.IO.:443", "quay.io/org/app", id="n13_15: Host is a registry's own name, spelt otherwise"),
        pytest.param("app", [], "registry.local:5000", "registry.local:5000/app", id="n13_15: Host is a registry's own name with its port"),
        pytest.param("app/x", [], "registry.local:5001", "docker.io/app/x", id="n13_15: another service on a registry's machine"),
        pytest.param("org/app", [], "index.docker.io:5000", "docker.io/org/app", id="n13_15: Host is the default's name at our port"),
        pytest.param("quay.io/org/app", [], "quay.io:5000", "quay.io/org/app", id="n13_15: a registry's name at our port, and in the path"),
        pytest.param("org/app", ["docker.io"], "quay.io:5000", "docker.io/org/app", id="n13_15: a registry's name at our port, and ns"),
        pytest.param("org/app", [], "quay.proxy.example.evil.example", "docker.io/org/app", id="n13_15: a longer Host"),
        pytest.param("org/app", [], "quay.proxy.example:5000:5000", "docker.io/org/app", id="n13_15: a Host that is none"),
    ],
)
def test_a_request_finds_its_registry(name: str, namespaces: list[str], host: str, found: str) -> None:
    route = ROUTES.find(name, namespaces, host)
    assert str(route.repository) == found
    assert route.upstream.name == route.repository.registry


@pytest.mark.parametrize(
    "namespace",
    [
        pytest.param("", id="nothing"),
        pytest.param("gcr.io", id="a registry that is not configured"),
        pytest.param("quay.io.evil.example", id="a longer name"),
        pytest.param("evil.quay.io", id="a name below"),
        pytest.param("quay.io.", id="a dot at the end"),
        pytest.param("quay.io:5000", id="another port"),
        pytest.param("quay.io/org", id="a path"),
        pytest.param("user@quay.io", id="a user"),
        pytest.param("https://quay.io", id="an address"),
        pytest.param("169.254.169.254", id="a metadata service"),
        pytest.param("quay.proxy.example", id="a name we only serve as"),
        pytest.param("quay.io\r\nX-Evil: 1", id="two lines"),
        pytest.param("quay.io\r\n", id="n13_15: a line's end"),
        pytest.param(" quay.io", id="n13_15: a space"),
        pytest.param("doc\u212aer.io", id="n13_15: a letter that becomes another in lower case"),
        pytest.param("quay.io:x", id="n13_15: a port that is none"),
        pytest.param("quay.io:443:443", id="n13_15: two ports"),
        pytest.param("q" * 10_000, id="no end"),
    ],
)
def test_ns_opens_no_door_that_is_not_configured(namespace: str) -> None:
    error = refusal("org/app", [namespace])
    assert (error.code, error.status) == ("NAME_UNKNOWN", 404)
    assert len(error.message) < 200


@pytest.mark.parametrize("host", ["quay.io:5000", "QUAY.io.:8080"])
def test_n13_15_a_registrys_name_at_another_port_is_not_answered_with_the_default(host: str) -> None:
    error = refusal("org/app", [], host)
    assert (error.code, error.status) == ("NAME_UNKNOWN", 404)
    assert "serve_as" in error.message


@pytest.mark.parametrize("namespaces", [["quay.io", "quay.io"], ["quay.io", "QUAY.io:443"], ["quay.io", ""]])
def test_n13_15_a_registry_that_is_named_twice_is_refused_even_where_both_are_the_same(namespaces: list[str]) -> None:
    assert refusal("org/app", namespaces).code == "NAME_INVALID"


def test_two_registries_for_one_request_are_refused() -> None:
    error = refusal("org/app", ["docker.io", "quay.io"])
    assert (error.code, error.status) == ("NAME_INVALID", 400)


def test_a_name_that_grows_too_long_is_refused() -> None:
    assert ROUTES.find("a" * 247, []).repository.name == "library/" + "a" * 247
    error = refusal("a" * 248, [])
    assert (error.code, error.status) == ("NAME_INVALID", 400)


def test_the_default_must_be_an_upstream() -> None:
    with pytest.raises(KeyError):
        Routes([QUAY], "docker.io")


def test_the_default_may_be_named_by_an_alias() -> None:
    assert Routes([HUB, QUAY], "index.docker.io").find("a/b", []).upstream is HUB


@given(
    names, st.lists(st.sampled_from(["docker.io", "quay.io"]) | st.text(), max_size=2), st.text() | st.sampled_from(["quay.proxy.example"])
)
def test_any_request_finds_a_configured_registry_or_is_refused(name: str, namespaces: list[str], host: str) -> None:
    try:
        route = ROUTES.find(name, namespaces, host)
    except RegistryError as error:
        assert error.status in {400, 404}  # noqa: PT017 -- whether it is refused is what is open
        return
    assert route.upstream in (HUB, QUAY, LOCAL, SIX)
    assert name.endswith(route.repository.name.removeprefix("library/"))


@given(names)
def test_one_name_is_a_repository_of_its_own_in_each_registry(name: str) -> None:
    """FAULTS, S14: the registry is part of every key."""
    repositories = {ROUTES.find(f"{registry}/{name}", []).repository for registry in ("docker.io", "quay.io")}
    assert len(repositories) == 2


@pytest.mark.parametrize(
    ("name", "tag", "expected"),
    [
        pytest.param("library/nginx", "latest", PullPolicy.ALWAYS, id="the first rule"),
        pytest.param("library/nginx", "1.27", PullPolicy.IF_NOT_PRESENT, id="the second rule"),
        pytest.param("library/alpine", "latest", PullPolicy.ALWAYS, id="the first rule, another name"),
        pytest.param("Library/nginx", "1.27", PullPolicy.NEVER, id="capitals are other letters"),
        pytest.param("org/app", "1.27", PullPolicy.NEVER, id="the last rule"),
    ],
)
def test_the_first_rule_that_matches_a_tag_counts(name: str, tag: str, expected: PullPolicy) -> None:
    rules = (
        TagPolicy("*:latest", PullPolicy.ALWAYS),
        TagPolicy("library/*", PullPolicy.IF_NOT_PRESENT),
        TagPolicy("*", PullPolicy.NEVER),
    )
    assert Upstream("docker.io", (), tags=rules).tag_policy(name, tag).policy is expected


def test_a_tag_that_no_rule_matches_has_the_default_one() -> None:
    assert Upstream("docker.io", (), tags=(TagPolicy("x:y", PullPolicy.NEVER),)).tag_policy("a", "b") == TagPolicy()


def test_a_host_alone_is_trusted_with_everything() -> None:
    assert Host("https://quay.io").trust == {Trust.PULL, Trust.RESOLVE}


def test_a_host_is_called_by_its_address_without_the_scheme() -> None:
    assert str(Host("https://mirror.example:8443/path")) == "mirror.example:8443/path"


def test_a_secret_is_shown_nowhere() -> None:
    host = Host("https://quay.io", credential=Credential("robot", Secret("hunter2")))
    upstream = Upstream("quay.io", (host,))
    shown = [f"{each!r} {each!s} {each}" for each in (Secret("hunter2"), host.credential, host, upstream, Routes([upstream], "quay.io"))]
    assert "hunter2" not in "".join(shown)
    assert str(Secret("hunter2")) == "***"


@pytest.mark.parametrize(
    ("url", "credential", "shown"),
    [
        ("http://proxy.example:3128", None, "http://proxy.example:3128"),
        ("http://proxy.example:3128", Credential("me", Secret("canary-proxy")), "http://me:***@proxy.example:3128"),
        ("http://proxy.example:3128", Credential("canary-token", Secret("")), "http://***@proxy.example:3128"),
    ],
)
def test_a_proxy_is_shown_without_its_secret(url: str, credential: Credential | None, shown: str) -> None:
    assert str(Proxy(url, credential)) == shown


def test_a_host_has_credentials_wherever_they_are_written() -> None:
    config = DockerConfig(Path("config.json"), ("quay.io",))
    given = [Host("https://a"), Host("https://a", credential=Credential("me", Secret(""))), Host("https://a", docker_config=config)]
    assert [host.has_credentials for host in given] == [False, True, True]


@pytest.mark.parametrize(
    ("namespaces", "known"),
    [([], None), (["quay.io"], "quay.io"), (["ghcr.io"], None), (["quay.io", "quay.io"], None), (["x" * 10_000], None)],
)
def test_only_one_configured_registry_is_known(namespaces: list[str], known: str | None) -> None:
    assert ROUTES.known(namespaces) == known


def test_an_upstream_is_found_as_its_images_are() -> None:
    assert (ROUTES.upstream(["quay.io"]), ROUTES.upstream([], "quay.proxy.example"), ROUTES.upstream([])) == (QUAY, QUAY, HUB)


@pytest.mark.parametrize(
    ("pattern", "canonical"),
    [
        ("nginx", "docker.io/library/nginx"),
        ("index.docker.io/nginx", "docker.io/library/nginx"),
        ("quay.io/*", "quay.io/*"),
        ("quay.io", "quay.io/*"),
        ("team/app*", "docker.io/team/app*"),
    ],
)
def test_a_pattern_of_repositories_is_written_by_the_registrys_own_name(pattern: str, canonical: str) -> None:
    assert ROUTES.canonical(pattern) == canonical


def test_a_pattern_of_another_registry_is_refused() -> None:
    with pytest.raises(RegistryError, match="ghcr"):
        ROUTES.canonical("ghcr.io/*")


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("team/app:1", "docker.io/team/app:1"),
        ("registry.local:5000/app", "registry.local:5000/app:latest"),
        ("registry.local:5000/app:1", "registry.local:5000/app:1"),
        (f"quay.io/app:1@{Digest.of(b'')}", f"quay.io/app@{Digest.of(b'')}"),
    ],
)
def test_an_image_is_named_as_for_docker_pull(name: str, reference: str) -> None:
    assert str(ROUTES.image(name)[1]) == reference


@pytest.mark.parametrize("name", ["nginx:.x", "nginx@sha256:1"])
def test_an_image_without_a_tag_or_digest_that_can_be_is_refused(name: str) -> None:
    with pytest.raises(RegistryError) as refused:
        ROUTES.image(name)
    assert refused.value.code == "NAME_INVALID"


@pytest.mark.parametrize(
    ("rule", "is_exact"),
    [
        (TagPolicy(policy=PullPolicy.IF_NOT_PRESENT), True),
        (TagPolicy(policy=PullPolicy.NEVER), False),
        (TagPolicy("*:sha256-*", policy=PullPolicy.IF_NOT_PRESENT), False),
    ],
)
def test_a_tag_of_what_belongs_to_a_digest_is_asked_for_each_time(rule: TagPolicy, *, is_exact: bool) -> None:
    signature = f"sha256-{'a' * 64}.sig"
    upstream = Upstream("docker.io", (Host("https://registry-1.docker.io"),), tags=(rule,))
    found = upstream.tag_policy("app", signature)
    assert (found.policy is PullPolicy.ALWAYS and found.is_urgent) is is_exact


@pytest.mark.parametrize(
    ("host", "is_shown"),
    [
        (Host("https://registry.example"), True),
        (Host("https://mirror.example", trust=frozenset({Trust.PULL})), False),
        (Host("https://cache.example", kind=HostKind.CACHE), False),
        (Host("https://cache.example", kind=HostKind.CACHE, forward_credentials=True), True),
    ],
)
def test_n16_03_credentials_of_clients_are_for_the_registry_and_for_caches_that_ask_it(host: Host, *, is_shown: bool) -> None:
    assert host.is_shown_credentials == is_shown
