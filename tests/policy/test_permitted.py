"""What may be pulled of an upstream."""

from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.digest import Digest
from regproxy.oci.errors import RegistryError
from regproxy.oci.reference import Repository, Tag, Target
from regproxy.policy.permitted import check_denied, check_listing_denied, denies_all
from regproxy.policy.routing import Route, Upstream

DIGEST = Digest.of(b"")

patterns = st.sampled_from(
    ["*", "library/*", "library/nginx", "library/nginx:*", "library/nginx:1*", "team/*", "*:latest", f"*@{DIGEST}", "*@*"]
)


@pytest.mark.parametrize(
    ("deny", "target", "denied"),
    [
        pytest.param((), Tag("latest"), False, id="nothing is denied"),
        pytest.param(("*:latest",), Tag("latest"), True, id="a tag"),
        pytest.param(("*:latest",), Tag("1.27"), False, id="another tag"),
        pytest.param(("*:latest",), DIGEST, False, id="a tag, asked by digest"),
        pytest.param(("library/*",), DIGEST, True, id="repositories, asked by digest"),
        pytest.param(("library/nginx",), Tag("1.27"), True, id="a repository"),
        pytest.param(("library/nginx",), DIGEST, True, id="a repository, asked by digest"),
        pytest.param(("*/nginx",), DIGEST, True, id="a repository of any namespace, asked by digest"),
        pytest.param(("library/nginx:*",), DIGEST, True, id="each tag, asked by digest"),
        pytest.param(("library/*:*",), DIGEST, True, id="each tag of repositories, asked by digest"),
        pytest.param(("library/nginx:1*",), DIGEST, False, id="some tags, asked by digest"),
        pytest.param((f"*:{DIGEST.hex[0]}*",), DIGEST, False, id="some tags, asked by a digest that is written like one"),
        pytest.param((f"*:{DIGEST.hex}",), DIGEST, True, id="a hash without its algorithm"),
        pytest.param((f"*:{DIGEST.hex[:12]}*",), DIGEST, True, id="the beginning of a hash"),
        pytest.param(("library/nginx?sha???:*",), DIGEST, True, id="an algorithm, in part"),
        pytest.param(("*:?*",), DIGEST, True, id="each tag, in another way"),
        pytest.param((f"*{DIGEST.hex[-1]}",), DIGEST, True, id="whatever ends so, asked by a digest that does"),
        pytest.param(("*sha256*",), DIGEST, True, id="an algorithm"),
        pytest.param((f"*{DIGEST.hex[-1]}",), Tag(f"1-{DIGEST.hex[-1]}"), True, id="whatever ends so, asked by a tag that does"),
        pytest.param((f"*:{DIGEST.hex[0]}*",), Tag(f"{DIGEST.hex[0]}.2"), True, id="some tags, one of them"),
        pytest.param((f"*{DIGEST}",), DIGEST, True, id="a digest without what is before it"),
        pytest.param(("library/ngin",), Tag("1.27"), False, id="the beginning of a name"),
        pytest.param(("nginx",), DIGEST, False, id="the end of a name"),
        pytest.param((f"*@{DIGEST}",), DIGEST, True, id="a digest"),
        pytest.param((f"*@{DIGEST}",), Tag("latest"), False, id="a digest, asked by tag"),
        pytest.param(("a/*", "library/nginx:*"), Tag("1.27"), True, id="the second of two patterns"),
        pytest.param(("nginx:*",), Tag("1.27"), False, id="part of a name"),
        pytest.param(("LIBRARY/*",), Tag("1.27"), False, id="capitals"),
    ],
)
def test_what_the_configuration_denies_is_refused(deny: tuple[str, ...], target: Target, denied: bool) -> None:
    route = Route(Upstream("docker.io", (), deny=deny), Repository("docker.io", "library/nginx"))
    if not denied:
        check_denied(route, target)
        return
    with pytest.raises(RegistryError, match="the configuration denies") as refused:
        check_denied(route, target)
    assert (refused.value.code, refused.value.status) == ("DENIED", 403)
    assert "docker.io/library/nginx" in refused.value.message


@pytest.mark.parametrize(
    ("deny", "denied"),
    [
        ((), False),
        (("*",), True),
        (("library/*",), True),
        (("library/nginx*",), True),
        (("library/nginx:*",), True),
        (("a/*", "library/nginx:*"), True),
        (("*:*",), True),
        (("*:latest",), False),
        (("library/nginx:1*",), False),
        (("library/nginx@*",), False),
        (("library/nginx",), True),
        (("*/nginx",), True),
        (("library/ngin",), False),
        (("nginx:*",), False),
        (("library/nginx-unit*",), False),
        (("team/*",), False),
    ],
)
def test_n13_23_a_repository_is_denied_where_each_of_its_tags_is(deny: tuple[str, ...], denied: bool) -> None:
    route = Route(Upstream("docker.io", (), deny=deny), Repository("docker.io", "library/nginx"))
    assert denies_all(route.upstream, route.repository.name) == denied
    with pytest.raises(RegistryError, match="the configuration denies all of it") if denied else nullcontext():
        check_listing_denied(route)


@pytest.mark.parametrize(
    ("allow", "target", "allowed"),
    [
        pytest.param((), Tag("1.27"), True, id="nothing is named: everything"),
        pytest.param(("library/*",), Tag("1.27"), True, id="a namespace"),
        pytest.param(("library/nginx",), Tag("1.27"), True, id="a repository: all its tags"),
        pytest.param(("library/nginx:1.*",), Tag("1.27"), True, id="some tags"),
        pytest.param(("library/nginx:1.*",), Tag("2.0"), False, id="other tags"),
        pytest.param(("library/nginx:1.*",), DIGEST, True, id="by digest what some tag may mean"),
        pytest.param((f"library/nginx@{DIGEST}",), DIGEST, True, id="a digest"),
        pytest.param((f"library/nginx@{DIGEST}",), Tag("1.27"), False, id="a digest, asked by tag"),
        pytest.param(("library/*",), DIGEST, True, id="a namespace, asked by digest"),
        pytest.param(("team/*",), DIGEST, False, id="another namespace, asked by digest"),
        pytest.param(("library/nginx-unit",), Tag("1.27"), False, id="a longer name"),
        pytest.param(("nginx",), Tag("1.27"), False, id="part of a name"),
        pytest.param(("team/*", "*:1.27"), Tag("1.27"), True, id="the second of two patterns"),
    ],
)
def test_n19_02_only_what_is_allowed_is_served(allow: tuple[str, ...], target: Target, allowed: bool) -> None:
    route = Route(Upstream("docker.io", (), allow=allow), Repository("docker.io", "library/nginx"))
    if allowed:
        check_denied(route, target)
        return
    with pytest.raises(RegistryError, match="the configuration does not allow it") as refused:
        check_denied(route, target)
    assert (refused.value.code, refused.value.status) == ("DENIED", 403)


@pytest.mark.parametrize(("allow", "listed"), [(("library/*",), True), (("library/nginx:1.*",), True), (("team/*",), False)])
def test_n19_02_tags_are_listed_where_some_of_them_are_allowed(allow: tuple[str, ...], listed: bool) -> None:
    route = Route(Upstream("docker.io", (), allow=allow), Repository("docker.io", "library/nginx"))
    assert denies_all(route.upstream, route.repository.name) is not listed
    with nullcontext() if listed else pytest.raises(RegistryError, match="may not be listed"):
        check_listing_denied(route)


@given(deny=patterns, target=st.sampled_from([Tag("1.27"), Tag("latest"), DIGEST]))
def test_nothing_is_served_of_a_repository_that_is_denied_as_a_whole(deny: str, target: Target) -> None:
    route = Route(Upstream("docker.io", (), deny=(deny,)), Repository("docker.io", "library/nginx"))
    assert _is_refused(route, target) or not denies_all(route.upstream, route.repository.name)


@given(deny=patterns, target=st.sampled_from([Tag("1.27"), Tag("latest"), DIGEST]))
def test_n19_02_deny_takes_from_what_is_allowed(deny: str, target: Target) -> None:
    repository = Repository("docker.io", "library/nginx")
    alone, both = (Upstream("docker.io", (), deny=(deny,), allow=allow) for allow in ((), ("library/*", "team/*")))
    assert _is_refused(Route(alone, repository), target) == _is_refused(Route(both, repository), target)


def _is_refused(route: Route, target: Target) -> bool:
    try:
        check_denied(route, target)
    except RegistryError:
        return True
    return False
