import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.policy.credential import Credential, CredentialKind, Secret
from regproxy.policy.upstream.keyring import Helper, InvalidKeyring, Keyring, told

HUB = ("registry-1.docker.io", "docker.io", "index.docker.io")


def auth(user: str, password: str = "pw") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def keyring(**document: object) -> Keyring:
    return Keyring.parse(json.dumps(document).encode())


def user(found: Keyring, server: str, name: str) -> str | None:
    first = next(found.sources((server,), name), None)
    return first.username if isinstance(first, Credential) else None


@pytest.mark.parametrize(
    ("key", "server"),
    [
        pytest.param("https://index.docker.io/v1/", "index.docker.io", id="Docker Hub's"),
        pytest.param("quay.io", "quay.io", id="a host"),
        pytest.param("https://quay.io", "quay.io", id="a URL"),
        pytest.param("https://quay.io/v2/", "quay.io", id="a URL with an API"),
        pytest.param("QUAY.io/", "quay.io", id="capitals and a slash"),
        pytest.param("quay.io:443", "quay.io", id="a default port"),
        pytest.param("reg:5000", "reg:5000", id="a port"),
        pytest.param("*.azurecr.io", "acme.azurecr.io", id="a glob"),
    ],
)
def test_a_key_is_known_however_it_is_written(key: str, server: str) -> None:
    assert user(keyring(auths={key: auth("bob")}), server, "a/b") == "bob"


@pytest.mark.parametrize(
    ("key", "server", "name"),
    [
        pytest.param("a.io", "a.io.evil", "x", id="a suffix"),
        pytest.param("a.io", "evila.io", "x", id="a prefix"),
        pytest.param("a.io", "b.a.io", "x", id="a subdomain"),
        pytest.param("a.io:5000", "a.io", "x", id="another port"),
        pytest.param("*.a.io", "b.c.a.io", "x", id="a glob over two labels"),
        pytest.param("*", "a.io", "x", id="a glob over all"),
        pytest.param("a.io/team", "a.io", "teams/x", id="half of a namespace"),
        pytest.param("a.io/team/app", "a.io", "team/other", id="another repository"),
    ],
)
def test_s09_a_credential_is_for_its_own_registry_alone(key: str, server: str, name: str) -> None:
    assert user(keyring(auths={key: auth("bob")}), server, name) is None


@pytest.mark.parametrize(("name", "who"), [("team/app", "app"), ("team/app/x", "app"), ("team/b", "team"), ("other/b", "all")])
def test_the_most_specific_key_wins(name: str, who: str) -> None:
    found = keyring(auths={"a.io": auth("all"), "a.io/team": auth("team"), "a.io/team/app": auth("app"), "*.io": auth("glob")})
    assert user(found, "a.io", name) == who


def test_the_order_of_servers_goes_before_the_file_s() -> None:
    found = keyring(auths={"docker.io": auth("name"), "registry-1.docker.io": auth("host")})
    assert [source.username for source in found.sources(HUB, "library/a") if isinstance(source, Credential)] == ["host", "name"]


def test_a_helper_for_the_registry_goes_first_and_the_common_store_last() -> None:
    found = keyring(auths={"a.io": auth("bob")}, credHelpers={"a.io": "ecr-login"}, credsStore="pass")
    first, second, third = found.sources(("a.io",), "x")
    assert (first, third) == (Helper("ecr-login", "a.io"), Helper("pass", "a.io"))
    assert isinstance(second, Credential)


@pytest.mark.parametrize(
    ("entry", "credential"),
    [
        pytest.param(auth("u", "p:w"), Credential("u", Secret("p:w")), id="a colon in the password"),
        pytest.param(auth("u", "pw\x00\x00"), Credential("u", Secret("pw")), id="zeros at its end"),
        pytest.param({"username": "u", "password": "p"}, Credential("u", Secret("p")), id="in plain"),
        pytest.param({**auth("u", ""), "identitytoken": "t"}, Credential("u", Secret("t"), CredentialKind.IDENTITY), id="identity token"),
        pytest.param({"registrytoken": "t"}, Credential("", Secret("t"), CredentialKind.REGISTRY), id="registry token"),
        pytest.param({}, None, id="empty, as beside a store"),
        pytest.param({"auth": "%%%"}, None, id="not base64"),
        pytest.param({"auth": "/w=="}, None, id="not UTF-8"),
        pytest.param("x", None, id="no entry"),
        pytest.param(None, None, id="null"),
    ],
)
def test_an_entry_is_read_as_docker_writes_it(entry: object, credential: Credential | None) -> None:
    assert next(keyring(auths={"a.io": entry}).sources(("a.io",), "x"), None) == credential


@pytest.mark.parametrize("suffix", ["", "../x", "a/b", "a b", "-x", 5, None])
def test_a_helper_cannot_be_a_path(suffix: object) -> None:
    assert list(keyring(credHelpers={"a.io": suffix}, credsStore=suffix).sources(("a.io",), "x")) == []


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"[" * 100_000], ids=["empty", "list", "cut", "binary", "deep"])
def test_what_is_no_keyring_is_said_to_be_none(text: bytes) -> None:
    with pytest.raises(InvalidKeyring):
        Keyring.parse(text)


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_whatever_json_says_it_is_read_or_refused(value: object) -> None:
    for key in ("auths", "credHelpers", "credsStore"):
        list(keyring(**{key: value}).sources(HUB, "library/a"))


def test_a_helper_may_hand_out_an_identity_token() -> None:
    said = json.dumps({"ServerURL": "a.io", "Username": "<token>", "Secret": "t"}).encode()
    assert told(said) == Credential("<token>", Secret("t"), CredentialKind.IDENTITY)


@pytest.mark.parametrize("text", [b"credentials not found in native keychain", b"{}", b"[]", b'{"Username": "u", "Secret": ""}'])
def test_a_helper_that_knows_nothing_is_not_believed(text: bytes) -> None:
    assert told(text) is None


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io"])
@pytest.mark.parametrize("servers", [HUB, ("registry-1.docker.io", "hub")])
def test_n13_17_docker_hub_is_known_by_any_of_its_names_and_asked_for_as_docker_asks(key: str, servers: tuple[str, ...]) -> None:
    address = "https://index.docker.io/v1/"
    assert next(keyring(auths={key: auth("bob")}).sources(servers, "library/a"), None) == Credential("bob", Secret("pw"))
    assert next(keyring(credsStore="test").sources(servers, "library/a")) == Helper("test", address)
    assert isinstance(next(keyring(credHelpers={key: "test"}).sources(servers, "library/a")), Helper)
    assert next(keyring(credHelpers={address: "test"}).sources(servers, "library/a")) == Helper("test", address)
