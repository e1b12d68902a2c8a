import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.http.challenge import Challenge, Scope, parse_challenges, parse_scopes

HUB = {
    "realm": "https://auth.docker.io/token",
    "service": "registry.docker.io",
    "scope": "repository:library/nginx:pull",
}

tokens = st.from_regex(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,12}", fullmatch=True)
values = st.text(st.characters(min_codepoint=32, max_codepoint=126))


def quoted(value: str) -> str:
    return '"' + value.replace("\\", r"\\").replace('"', r"\"") + '"'


@pytest.mark.parametrize(
    ("header", "scheme", "parameters"),
    [
        pytest.param(
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull"',
            "bearer",
            HUB,
            id="Docker Hub",
        ),
        pytest.param(
            'BEARER REALM="https://auth.docker.io/token", Service="registry.docker.io" ,\tscope = "repository:library/nginx:pull"',
            "bearer",
            HUB,
            id="capitals, blanks and tabs",
        ),
        pytest.param(
            'Bearer realm="https://gcr.io/v2/token",service=gcr.io,scope="repository:a/b:pull"',
            "bearer",
            {"realm": "https://gcr.io/v2/token", "service": "gcr.io", "scope": "repository:a/b:pull"},
            id="gcr.io: a bare value",
        ),
        pytest.param(
            'Bearer realm="https://us-docker.pkg.dev/v2/token"',
            "bearer",
            {"realm": "https://us-docker.pkg.dev/v2/token"},
            id="Artifact Registry: a realm alone",
        ),
        pytest.param(
            'Bearer realm="https://public.ecr.aws/token/",service="public.ecr.aws",scope="aws"',
            "bearer",
            {"realm": "https://public.ecr.aws/token/", "service": "public.ecr.aws", "scope": "aws"},
            id="ECR Public: a slash at the end of the realm, a scope of one word",
        ),
        pytest.param(
            'Basic realm="https://1234.dkr.ecr.eu-west-1.amazonaws.com/",service="ecr.amazonaws.com"',
            "basic",
            {"realm": "https://1234.dkr.ecr.eu-west-1.amazonaws.com/", "service": "ecr.amazonaws.com"},
            id="ECR: basic",
        ),
        pytest.param(
            'Bearer realm="https://dockerauth.cn-hangzhou.aliyuncs.com/auth",service="registry.aliyuncs.com:cn-beijing:26842"',
            "bearer",
            {"realm": "https://dockerauth.cn-hangzhou.aliyuncs.com/auth", "service": "registry.aliyuncs.com:cn-beijing:26842"},
            id="Aliyun: colons in the service",
        ),
        pytest.param(
            'Bearer realm="https://swr.cn-north-4.myhuaweicloud.com/swr/auth/v2/registry/auth/",service="dockyard",scope="repository:o/r:"',
            "bearer",
            {
                "realm": "https://swr.cn-north-4.myhuaweicloud.com/swr/auth/v2/registry/auth/",
                "service": "dockyard",
                "scope": "repository:o/r:",
            },
            id="Huawei: a scope without actions",
        ),
        pytest.param(
            'Bearer realm="https://registry.suse.com/auth",service="SUSE Linux Docker Registry"',
            "bearer",
            {"realm": "https://registry.suse.com/auth", "service": "SUSE Linux Docker Registry"},
            id="SUSE: spaces in the service",
        ),
        pytest.param(
            'Bearer realm="https://coding.example/jwt?host=a.coding.net&x=1",service="docker"',
            "bearer",
            {"realm": "https://coding.example/jwt?host=a.coding.net&x=1", "service": "docker"},
            id="coding.net: a query in the realm",
        ),
        pytest.param('Bearer realm="/v2/token"', "bearer", {"realm": "/v2/token"}, id="a relative realm"),
        pytest.param(
            'Bearer realm="https://a/t",scope="repository:a:pull repository:b:pull",error="insufficient_scope"',
            "bearer",
            {"realm": "https://a/t", "scope": "repository:a:pull repository:b:pull", "error": "insufficient_scope"},
            id="two scopes and an error",
        ),
        pytest.param(
            'Bearer realm="https://a/t",service="",scope=',
            "bearer",
            {"realm": "https://a/t", "service": "", "scope": ""},
            id="empty values",
        ),
        pytest.param(r'Bearer realm="a \"quoted\" \\ realm"', "bearer", {"realm": 'a "quoted" \\ realm'}, id="escapes"),
        pytest.param('Bearer realm="a, Basic realm=b"', "bearer", {"realm": "a, Basic realm=b"}, id="a challenge within quotes"),
        pytest.param('Bearer realm="first",realm="second"', "bearer", {"realm": "first"}, id="the first of two realms"),
        pytest.param('Bearer realm="a" service="b"', "bearer", {"realm": "a", "service": "b"}, id="commas forgotten"),
        pytest.param(',, Bearer realm="a",,service="b",', "bearer", {"realm": "a", "service": "b"}, id="empty list elements"),
        pytest.param("Bearer", "bearer", {}, id="a scheme alone"),
        pytest.param('Bearer realm="cut off', "bearer", {"realm": ""}, id="quotes that never end"),
    ],
)
def test_a_challenge_is_read_whatever_its_shape(header: str, scheme: str, parameters: dict[str, str]) -> None:
    assert parse_challenges([header]) == [Challenge(scheme, parameters)]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(['Bearer realm="a",service="b"', 'Basic realm="c"'], id="two headers"),
        pytest.param(['Bearer realm="a",service="b",Basic realm="c"'], id="one header"),
        pytest.param(['Bearer realm="a" , service="b" , Basic realm="c"'], id="one header with blanks"),
        pytest.param(["bearer REALM=a,SERVICE=b basic Realm=c"], id="one header in bad style"),
    ],
)
def test_several_challenges_come_in_their_order(headers: list[str]) -> None:
    assert parse_challenges(headers) == [
        Challenge("bearer", {"realm": "a", "service": "b"}),
        Challenge("basic", {"realm": "c"}),
    ]


def test_a_scheme_without_parameters_hides_none_that_follows() -> None:
    [negotiate, bearer] = parse_challenges(['Negotiate, Bearer realm="a"'])
    assert (negotiate, bearer) == (Challenge("negotiate"), Challenge("bearer", {"realm": "a"}))


def test_other_credentials_of_another_scheme_hide_no_challenge() -> None:
    """RFC 9110, 11.3: a challenge may carry one token68 in place of parameters."""
    found = parse_challenges(['Negotiate YII=, Bearer realm="a"'])
    assert found[-1] == Challenge("bearer", {"realm": "a"})


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("", id="nothing"),
        pytest.param(" , ,", id="commas"),
        pytest.param('realm="a"', id="parameters of no scheme"),
        pytest.param('"Bearer" realm="a"', id="a scheme in quotes"),
        pytest.param("<html>", id="no header at all"),
    ],
)
def test_what_cannot_be_read_is_left_out(header: str) -> None:
    assert parse_challenges([header, 'Basic realm="a"']) == [Challenge("basic", {"realm": "a"})]


def test_what_a_challenge_does_not_say_is_empty() -> None:
    [bare] = parse_challenges(["Bearer"])
    assert (bare.realm, bare.service, bare.scope) == ("", "", "")
    [full] = parse_challenges(['Bearer scope="s",service="t",realm="r"'])
    assert (full.realm, full.service, full.scope) == ("r", "t", "s")


@given(tokens.filter(lambda scheme: scheme.strip()), st.dictionaries(tokens.map(str.lower), values, min_size=1))
def test_quoted_parameters_survive_being_written_and_read(scheme: str, parameters: dict[str, str]) -> None:
    header = f"{scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in parameters.items())
    assert parse_challenges([header]) == [Challenge(scheme.lower(), parameters)]


@given(st.lists(st.text() | st.text('Bearer realm=\\", ', max_size=40), max_size=3))
def test_any_text_is_challenges_or_none(headers: list[str]) -> None:
    for challenge in parse_challenges(headers):
        assert challenge.scheme == challenge.scheme.lower()


@pytest.mark.parametrize("filler", ["a", "a ", "a,", " ", ",", '"', "\\", "=", 'a="', "a=b,"])
def test_a_challenge_of_any_length_is_read_at_once(filler: str) -> None:
    """A limit and patterns that never try again: an endless header is an attack."""
    found = parse_challenges(['Bearer realm="a",' + filler * 1_000_000])
    assert found[0].realm == "a"
    assert len(repr(found)) < 1_000_000


def test_a_scope_to_pull_is_written_as_the_specification_has_it() -> None:
    assert str(Scope.pull("library/nginx")) == "repository:library/nginx:pull"
    assert Scope.pull("localhost:5000/a") == Scope("repository", "localhost:5000/a", "pull")
    assert sorted([Scope.pull("b"), Scope.pull("a")]) == [Scope.pull("a"), Scope.pull("b")]


@pytest.mark.parametrize(
    ("text", "scopes"),
    [
        pytest.param("", [], id="none"),
        pytest.param("aws", ["aws"], id="one word"),
        pytest.param("repository:a/b:pull", ["repository:a/b:pull"], id="as the specification has it"),
        pytest.param("repository:a/b:", ["repository:a/b:pull"], id="no actions"),
        pytest.param("registry:catalog:", ["registry:catalog:"], id="nothing to pull"),
        pytest.param("repository:a:pull  repository:b:", ["repository:a:pull", "repository:b:pull"], id="two"),
    ],
)
def test_a_scope_without_actions_is_a_scope_to_pull(text: str, scopes: list[str]) -> None:
    assert parse_scopes(text) == scopes
