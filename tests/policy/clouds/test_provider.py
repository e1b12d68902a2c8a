"""The kubelet's protocol: what a provider is asked and says, and which images its patterns mean."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.policy.clouds.provider import CacheKeyType, InvalidResponse, Response, is_asked_about, matches, parse, request
from regproxy.policy.credential import Credential, CredentialKind, Secret

VERSION = "credentialprovider.kubelet.k8s.io/v1"


def printed(**changed: object) -> bytes:
    document = {"apiVersion": VERSION, "kind": "CredentialProviderResponse", "cacheKeyType": "Registry", **changed}
    return json.dumps(document).encode()


def test_n19_01_a_provider_is_asked_as_kubelet_asks() -> None:
    said = json.loads(request("a.io/team/app"))
    assert said == {"apiVersion": VERSION, "kind": "CredentialProviderRequest", "image": "a.io/team/app"}


@pytest.mark.parametrize(
    ("pattern", "image", "is_meant"),
    [  # k8s.io/kubelet, types.go: AuthConfig keys; kubernetes, keyring_test.go
        ("123456789.dkr.ecr.us-east-1.amazonaws.com", "123456789.dkr.ecr.us-east-1.amazonaws.com/app", True),
        ("*.dkr.ecr.*.amazonaws.com", "123456789.dkr.ecr.us-east-1.amazonaws.com/app", True),
        ("*.dkr.ecr.*.amazonaws.com", "123456789.dkr.ecr.cn-north-1.amazonaws.com.cn/app", False),
        ("*.azurecr.io", "team.azurecr.io/app", True),
        ("*.io", "team.azurecr.io/app", False),
        ("app*.k8s.io", "app-1.k8s.io/x", True),
        ("*.*.registry.io", "a.b.registry.io/x", True),
        ("registry.io:8080/path", "registry.io:8080/path/app", True),
        ("registry.io:8080/path", "registry.io/path/app", False),
        ("registry.io", "registry.io:8080/path/app", False),
        ("registry.io/path", "registry.io/pathological", True),
        ("registry.io/path", "registry.io/other", False),
        ("registry.io", "evilregistry.io/x", False),
        ("registry.io", "registry.io.evil/x", False),
        ("gcr.io", "gcr.io", True),
    ],
)
def test_n19_01_a_pattern_means_what_it_means_to_kubelet(pattern: str, image: str, is_meant: bool) -> None:
    assert matches(pattern, image) is is_meant


def test_n19_01_of_several_keys_the_longest_and_the_one_without_globs_come_first() -> None:
    auth = {
        key: {"username": key, "password": "p"} for key in ("*.a.io", "https://x.a.io/v2/", "x.a.io/team", "https://index.docker.io/v1/")
    }
    found = parse(printed(auth=auth))
    names = {name: found.find([f"x.a.io/{name}"]) for name in ("team/app", "app")}
    assert {name: each and each.username for name, each in names.items()} == {"team/app": "x.a.io/team", "app": "https://x.a.io/v2/"}
    hub = found.find(["docker.io/library/app", "index.docker.io/library/app"])
    assert hub is not None
    assert hub.username == "https://index.docker.io/v1/"
    assert found.find(["y.b.io/app"]) is None


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("6h0m0s", 21_600.0),
        ("1h30m", 5400.0),
        ("1.5h", 5400.0),
        ("300ms", 0.3),
        ("0", 0.0),
        ("0s", 0.0),
        ("-5s", 0.0),
        (None, None),
        (f"{'9' * 60}h", 7 * 86_400.0),
    ],
)
def test_n19_01_a_duration_is_read_as_go_writes_it(duration: str | None, seconds: float | None) -> None:
    assert parse(printed(cacheDuration=duration)).seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"canary",
        b"[]",
        b"[" * 100_000,
        printed(apiVersion="credentialprovider.kubelet.k8s.io/v1beta1"),
        printed(kind="CredentialProviderRequest"),
        printed(cacheKeyType="canary"),
        printed(cacheKeyType=None),
        printed(auth=["canary"]),
        printed(cacheDuration=5),
        printed(cacheDuration="canary"),
        printed(cacheDuration="9" * 60_000),
    ],
)
def test_n19_01_what_is_no_response_is_told_without_its_words(text: bytes) -> None:
    with pytest.raises(InvalidResponse) as raised:
        parse(text)
    assert "canary" not in str(raised.value)


def test_n19_01_an_entry_without_a_secret_is_none_and_one_without_a_user_is_an_identity_token() -> None:
    auth = {
        "a.io": {"username": "u"},
        "b.io": {"password": "t"},
        "c.io": "text",
        "d.io": {"username": 1, "password": "p"},
        "e.io": {"password": 1},
    }
    assert parse(printed(auth=auth)).auth == (("b.io", Credential("", Secret("t"), CredentialKind.IDENTITY)),)
    assert parse(printed(auth=None)).auth == ()


def test_n19_01_a_response_counts_for_an_image_a_registry_or_all() -> None:
    assert [each.key("a.io:5000/team/app") for each in CacheKeyType] == ["a.io:5000/team/app", "a.io:5000", ""]


def test_n19_01_a_provider_is_asked_about_what_matches_and_without_patterns_about_all() -> None:
    assert is_asked_about((), ["a.io/x"])
    assert is_asked_about(("*.io",), ["registry.a.com/x", "a.io/x"])
    assert not is_asked_about(("*.io",), ["registry.a.com/x"])


@given(
    st.binary()
    | st.builds(
        lambda tree: json.dumps(tree).encode(),
        st.recursive(
            st.none() | st.text() | st.integers(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["auth", "kind", "x"]), inner),
        ),
    )
)
def test_n19_01_any_output_is_a_response_or_an_error_of_ours(text: bytes) -> None:
    with suppress(InvalidResponse):
        assert isinstance(parse(text), Response)
