"""Registries that patterns of the configuration name: which of them a request reaches, and that it reaches no other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.errors import RegistryError
from regproxy.policy.routing import Host, Routes, Trust, Upstream

HUB = Upstream("docker.io", (Host("https://registry-1.docker.io"),))
OWN = Upstream("own.pkg.dev", (Host("https://own.pkg.dev"),), deny=("*",))


def _pattern(name: str, scheme: str = "https", deny: tuple[str, ...] = ()) -> Upstream:
    """Say of each registry that *name* covers what the configuration says of it."""

    def made(registry: str) -> Upstream:
        mirror = Host("https://mirror.example", frozenset({Trust.PULL}), prefix=registry)
        return Upstream(registry, (mirror, Host(f"{scheme}://{registry}", is_of_pattern=True)), pattern=name, deny=deny)

    return Upstream(name, (Host("https://{registry}"),), made=made, deny=deny)


GOOGLE, DOCKER, PORT = _pattern("*.pkg.dev", deny=("secret/*",)), _pattern("*-docker.pkg.dev"), _pattern("*.reg.example:5000", "http")
ROUTES = Routes([PORT, GOOGLE, HUB, DOCKER, OWN], "docker.io")

FOUND = [
    pytest.param("team/app", ["eu-npm.pkg.dev"], "", "eu-npm.pkg.dev/team/app", "*.pkg.dev", id="ns"),
    pytest.param("team/app", ["EU-npm.pkg.dev:443"], "", "eu-npm.pkg.dev/team/app", "*.pkg.dev", id="ns, spelt otherwise"),
    pytest.param("eu-npm.pkg.dev/team/app", [], "", "eu-npm.pkg.dev/team/app", "*.pkg.dev", id="path"),
    pytest.param("eu-npm.pkg.dev/team/app", ["eu-npm.pkg.dev"], "", "eu-npm.pkg.dev/team/app", "*.pkg.dev", id="ns and path"),
    pytest.param(
        "us-npm.pkg.dev/team/app", ["eu-npm.pkg.dev"], "", "eu-npm.pkg.dev/us-npm.pkg.dev/team/app", "*.pkg.dev", id="ns, another path"
    ),
    pytest.param("team/app", ["us-docker.pkg.dev"], "", "us-docker.pkg.dev/team/app", "*-docker.pkg.dev", id="the more specific pattern"),
    pytest.param("team/app", ["own.pkg.dev"], "", "own.pkg.dev/team/app", "", id="a name goes before patterns"),
    pytest.param("app", ["a.reg.example:5000"], "", "a.reg.example:5000/app", "*.reg.example:5000", id="a port"),
    pytest.param("team/app", [], "eu-npm.pkg.dev", "docker.io/team/app", "", id="a Host may be our own name"),
    pytest.param("team/app", [], "eu-npm.pkg.dev:5000", "docker.io/team/app", "", id="a Host at our port"),
]


@pytest.mark.parametrize(("name", "namespaces", "host", "found", "pattern"), FOUND)
def test_n19_02_a_request_finds_the_registry_of_a_pattern(name: str, namespaces: list[str], host: str, found: str, pattern: str) -> None:
    route = ROUTES.find(name, namespaces, host)
    assert (str(route.repository), route.upstream.pattern) == (found, pattern)
    assert route.upstream.name == route.repository.registry
    assert ROUTES.find(name, namespaces, host).upstream is route.upstream
    assert ROUTES.label(route.upstream.name) == (pattern or route.upstream.name)


def test_n19_02_what_a_pattern_says_is_said_of_each_of_its_registries() -> None:
    upstream = ROUTES.find("team/app", ["eu-npm.pkg.dev"]).upstream
    mirror, itself = upstream.hosts
    assert (mirror.url, mirror.prefix, mirror.is_of_pattern) == ("https://mirror.example", "eu-npm.pkg.dev", False)
    assert (itself.url, itself.prefix, itself.is_of_pattern) == ("https://eu-npm.pkg.dev", "", True)
    assert (upstream.deny, upstream.is_pattern) == (("secret/*",), False)
    assert GOOGLE.is_pattern


@pytest.mark.parametrize(
    "namespace", ["pkg.dev", "a.b.pkg.dev", "eu-npm.pkg.dev.", "*.pkg.dev", "eu-npm.pkg.dev.evil.example", "a.reg.example", "-.pkg.dev"]
)
def test_n19_02_what_no_pattern_names_is_unknown(namespace: str) -> None:
    with pytest.raises(RegistryError) as refused:
        ROUTES.find("team/app", [namespace])
    assert (refused.value.code, refused.value.status) == ("NAME_UNKNOWN", 404)
    assert ROUTES.known([namespace]) is None


def test_n19_02_people_name_registries_of_patterns_as_others() -> None:
    route, reference = ROUTES.image("eu-npm.pkg.dev/team/app:1")
    assert (str(reference), route.upstream.pattern) == ("eu-npm.pkg.dev/team/app:1", "*.pkg.dev")
    assert ROUTES.canonical("eu-npm.pkg.dev/team/*") == "eu-npm.pkg.dev/team/*"
    assert ROUTES.known(["eu-npm.pkg.dev"]) == "eu-npm.pkg.dev"


hosts = st.lists(
    st.sampled_from(["a", "eu-docker", "own", "pkg", "dev", "io", "docker", "reg", "example", "", "*", "x_", "quay"]), max_size=4
).map(".".join)
places = st.builds("{}{}".format, hosts, st.sampled_from(["", ":443", ":5000", ":5001", "."]))


@given(st.lists(places, max_size=1), places, st.builds("{}/team/app".format, places) | st.just("team/app"))
def test_n19_02_no_request_reaches_a_host_that_the_rules_do_not_name(namespaces: list[str], host: str, name: str) -> None:
    try:
        upstream = ROUTES.find(name, namespaces, host).upstream
    except RegistryError:
        return
    if upstream.pattern:
        said = [*namespaces, name.partition("/")[0]]
        assert upstream.name in {each.removesuffix(":443") for each in said}, "the client named it"
        domain = {"*.pkg.dev": "pkg.dev", "*-docker.pkg.dev": "pkg.dev", "*.reg.example:5000": "reg.example:5000"}[upstream.pattern]
        label, _, rest = upstream.name.partition(".")
        assert rest == domain
        assert label
        assert {each.url.partition("://")[2] for each in upstream.hosts} <= {upstream.name, "mirror.example"}
    else:
        assert upstream in (HUB, OWN)
