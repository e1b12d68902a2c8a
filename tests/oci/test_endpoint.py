import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from regproxy.oci.digest import Digest
from regproxy.oci.endpoint import BlobPull, Catalog, Endpoint, ManifestPull, Ping, ReferrerList, Root, TagList, parse
from regproxy.oci.errors import RegistryError
from regproxy.oci.reference import Tag, is_name

DIGEST = Digest.of(b"hello")
KINDS = ["manifests", "blobs", "referrers"]

# FAULTS, S30: what has led out of other registries' folders. A tag may well have capitals.
HOSTILE_NAMES = [
    pytest.param("..", id="a step up"),
    pytest.param("a/../b", id="a step up on the way"),
    pytest.param("../../../../etc", id="steps to the root"),
    pytest.param("%2e%2e", id="an escaped step up"),
    pytest.param("..%2f", id="an escaped slash"),
    pytest.param("a/..%2f..%2fetc", id="escaped slashes after a step up"),
    pytest.param("%2F%2F..%2F..", id="escaped slashes first"),
    pytest.param("a//b", id="two slashes"),
    pytest.param("/a", id="a slash first"),
    pytest.param("a/", id="a slash last"),
    pytest.param("a%00", id="an escaped null byte"),
    pytest.param("a\0", id="a null byte"),
    pytest.param("a%0d%0ab", id="an escaped line end"),
    pytest.param("a\r\nb", id="a line end"),
    pytest.param("%252f", id="an escape of an escape"),
    pytest.param("a%2", id="half an escape"),
    pytest.param("a\\b", id="a backslash"),
    pytest.param("Library/nginx", id="capitals"),
    pytest.param("a" * 300, id="300 characters"),
    pytest.param("ünïcode", id="letters of another alphabet"),
    pytest.param("\uff4e\uff47\uff49\uff4e\uff58", id="letters that look right"),
    pytest.param("a\udcff", id="a byte that is no text"),
    pytest.param("a@b", id="an at sign"),
    pytest.param("a?b", id="a question mark"),
    pytest.param("user:pass@evil.example", id="an address"),
]
HOSTILE_DIGESTS = [
    pytest.param("sha256:..", id="a step up for a hash"),
    pytest.param("sha256%3A..", id="an escaped colon and a step up"),
    pytest.param(f"sha256%3A{DIGEST.hex}", id="an escaped colon"),
    pytest.param(f"sha256:{DIGEST.hex[:12]}", id="a short hash"),
    pytest.param(f"sha256:{DIGEST.hex}00", id="a long hash"),
    pytest.param(f"sha256:{DIGEST.hex.upper()}", id="a hash in capitals"),
    pytest.param(f"SHA256:{DIGEST.hex}", id="an algorithm in capitals"),
    pytest.param("sha256:", id="no hash"),
    pytest.param("md5:d41d8cd98f00b204e9800998ecf8427e", id="an algorithm nobody trusts"),
    pytest.param("sha256:baddigeststring", id="letters"),
    pytest.param("..", id="a step up"),
    pytest.param("%2e%2e", id="an escaped step up"),
    pytest.param(f"{DIGEST}%00", id="an escaped null byte"),
    pytest.param(f"{DIGEST}\n", id="a line end"),
    pytest.param("\u0663" * 64, id="digits of another script"),
]

pieces = st.sampled_from(
    ["/", "//", "v2", "a", "library", *KINDS, "tags", "list", str(DIGEST), "latest", "..", ".", "%2e", "%2f", "%00", "A", ":"]
)
paths = st.lists(pieces, max_size=12).map("".join) | st.lists(pieces, max_size=10).map("/".join) | st.text()


def refusal(method: str, path: str) -> RegistryError:
    with pytest.raises(RegistryError) as refused:
        parse(method, path)
    return refused.value


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        pytest.param("/v2", Ping(), id="a ping without its slash"),
        pytest.param("/v2/", Ping(), id="a ping"),
        pytest.param("/v2/a/manifests/1.27", ManifestPull("a", Tag("1.27")), id="a manifest by tag"),
        pytest.param("/v2/library/nginx/manifests/Latest", ManifestPull("library/nginx", Tag("Latest")), id="a tag in capitals"),
        pytest.param(f"/v2/a/b/c/manifests/{DIGEST}", ManifestPull("a/b/c", DIGEST), id="a manifest by digest"),
        pytest.param(f"/v2/a/manifests/{Digest.of(b'', 'sha512')}", ManifestPull("a", Digest.of(b"", "sha512")), id="a manifest by sha512"),
        pytest.param(f"/v2/a/blobs/{DIGEST}", BlobPull("a", DIGEST), id="a blob"),
        pytest.param("/v2/a/tags/list", TagList("a"), id="tags"),
        pytest.param(f"/v2/a/referrers/{DIGEST}", ReferrerList("a", DIGEST), id="referrers"),
        pytest.param("/v2/quay.io/org/app/manifests/1", ManifestPull("quay.io/org/app", Tag("1")), id="a registry as the first component"),
        pytest.param("/v2/manifests/manifests/manifests", ManifestPull("manifests", Tag("manifests")), id="manifests of manifests"),
        pytest.param(f"/v2/a/blobs/b/blobs/{DIGEST}", BlobPull("a/blobs/b", DIGEST), id="a name with blobs in it"),
        pytest.param("/v2/a/tags/list/manifests/x", ManifestPull("a/tags/list", Tag("x")), id="a name that ends like a list of tags"),
        pytest.param("/v2/a/manifests/tags/list", TagList("a/manifests"), id="a name that ends like a manifest"),
        pytest.param("/v2/tags/list/tags/list", TagList("tags/list"), id="tags of tags"),
        pytest.param(f"/v2/{'a' * 255}/tags/list", TagList("a" * 255), id="the longest name"),
        pytest.param(f"/v2/a/manifests/{'T' * 128}", ManifestPull("a", Tag("T" * 128)), id="the longest tag"),
    ],
)
def test_each_endpoint_is_read_from_its_path(method: str, path: str, endpoint: Endpoint) -> None:
    assert parse(method, path) == endpoint


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("rest", [f"manifests/{DIGEST}", "manifests/latest", f"blobs/{DIGEST}", f"referrers/{DIGEST}", "tags/list"])
def test_a_name_outside_the_grammar_is_no_name(name: str, rest: str) -> None:
    error = refusal("GET", f"/v2/{name}/{rest}")
    assert (error.code, error.status) in {("NAME_UNKNOWN", 404), ("UNSUPPORTED", 404)}
    assert len(error.body()) < 2000


@pytest.mark.parametrize("reference", HOSTILE_DIGESTS)
@pytest.mark.parametrize("kind", ["blobs", "referrers"])
def test_only_a_digest_names_a_blob(kind: str, reference: str) -> None:
    error = refusal("GET", f"/v2/a/{kind}/{reference}")
    assert (error.code, error.status) == ("DIGEST_INVALID", 400)


@pytest.mark.parametrize("reference", HOSTILE_DIGESTS)
def test_only_a_tag_or_a_digest_names_a_manifest(reference: str) -> None:
    error = refusal("GET", f"/v2/a/manifests/{reference}")
    assert (error.code, error.status) == (("DIGEST_INVALID", 400) if ":" in reference else ("MANIFEST_UNKNOWN", 404))


@pytest.mark.parametrize("tag", ["..", ".hidden", "-x", "a b", "a%20b", "é", "x" * 129, "x\0", "latest\n"])
def test_n13_23_a_tag_outside_the_grammar_is_not_found(tag: str) -> None:
    error = refusal("GET", f"/v2/a/manifests/{tag}")
    assert (error.code, error.status) == ("MANIFEST_UNKNOWN", 404)


def test_n13_23_the_catalog_is_no_repository() -> None:
    assert parse("GET", "/v2/_catalog") == Catalog()


def test_n13_23_a_reference_that_no_registry_can_have_is_not_found() -> None:
    """The conformance suite asks for this one."""
    error = refusal("HEAD", "/v2/a/manifests/.INVALID_MANIFEST_NAME")
    assert (error.code, error.status) == ("MANIFEST_UNKNOWN", 404)


@pytest.mark.parametrize("reference", ["../../blobs/x", "a/b", "/", "//", "", f"{DIGEST}/", f"{DIGEST}/.."])
def test_a_reference_has_no_slash(reference: str) -> None:
    error = refusal("GET", f"/v2/a/manifests/{reference}")
    assert (error.code, error.status) in {("UNSUPPORTED", 404), ("NAME_UNKNOWN", 404), ("MANIFEST_UNKNOWN", 404), ("DIGEST_INVALID", 400)}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "BREW" * 1000])
@pytest.mark.parametrize("path", ["/v2/", "/v2/a/blobs/uploads/", f"/v2/a/manifests/{DIGEST}", "/v2/../x"])
def test_a_write_is_unsupported(method: str, path: str) -> None:
    error = refusal(method, path)
    assert (error.code, error.status) == ("UNSUPPORTED", 405)
    assert len(error.message) < 200


@pytest.mark.parametrize(
    "path",
    ["/v2/_catalog/", "/v2/a/_catalog", "/v2/a", "/v2/a/", "/v2/a/tags", "/v2/a/tags/list/", "/v2/tags/list", "/v2/a/blobs", "/v2//"],
)
def test_there_are_no_other_endpoints(path: str) -> None:
    error = refusal("GET", path)
    assert (error.code, error.status) == ("UNSUPPORTED", 404)


@pytest.mark.parametrize("path", ["", "*", "/v1/", "/v2x", "/V2/", "//v2/", "/../v2/", "/healthz", "http://evil.example/v2/", "v2/"])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_nothing_is_served_outside_v2(method: str, path: str) -> None:
    error = refusal(method, path)
    assert (error.code, error.status) == ("UNKNOWN", 404)


def test_n13_17_the_root_is_read_and_nothing_else() -> None:
    assert (parse("GET", "/"), parse("HEAD", "/")) == (Root(), Root())
    assert refusal("PUT", "/").status == 404


@given(st.sampled_from(["GET", "HEAD", "PUT", ""]) | st.text(), paths | paths.map(lambda rest: f"/v2/{rest}"))
@example("GET", f"/v2/{'a/' * 100_000}manifests/x")
@example("GET", "/v2" + "/manifests" * 20_000)
def test_any_request_is_an_endpoint_or_refused(method: str, path: str) -> None:
    try:
        endpoint = parse(method, path)
    except RegistryError as error:
        assert error.status in {400, 404, 405}  # noqa: PT017 -- most paths are refused, not all
    else:
        assert isinstance(endpoint, Root | Ping | Catalog) or is_name(endpoint.name)
        assert set(path) <= {*string.ascii_letters, *string.digits, *"/:._-"}
        assert ".." not in path.split("/")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        pytest.param("/mirror/v2/a/tags/list", "a", id="a path of an ingress means nothing"),
        pytest.param("/Quay.io/v2/a/tags/list", "quay.io/a", id="a registry's name is a registry"),
    ],
)
def test_a_prefix_before_v2_is_a_registry_if_it_looks_like_one(path: str, name: str) -> None:
    assert parse("GET", path) == TagList(name)


def test_a_prefix_with_a_port_is_no_part_of_a_name() -> None:
    assert refusal("GET", "/localhost:5000/v2/a/tags/list").code == "NAME_UNKNOWN"


@pytest.mark.parametrize("path", ["/mirror/v2", "/quay.io/v2/"])
def test_a_ping_behind_any_prefix_is_a_ping(path: str) -> None:
    assert parse("GET", path) == Ping()
