import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.digest import Digest, InvalidDigest
from regproxy.oci.reference import InvalidName, Reference, Repository, Tag, is_name, parse_target, reference_named

# distribution-spec, Pulling manifests: copied from there, so that our own spelling of it is not its own judge.
NAME = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
TAG = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"

runs = st.text("az09", min_size=1, max_size=9)
components = st.builds("".join, st.lists(st.tuples(st.sampled_from([".", "_", "__", "-", "---"]), runs).map("".join), max_size=3))
names = st.lists(st.builds("{}{}".format, runs, components), min_size=1, max_size=5).map("/".join)
tags = st.from_regex(TAG, fullmatch=True)


@given(names)
def test_every_name_of_the_specification_is_a_name(name: str) -> None:
    assert is_name(name)


@given(st.text("aZ0._-/:%\n ", max_size=12) | st.text())
def test_nothing_but_a_name_of_the_specification_is_a_name(text: str) -> None:
    assert is_name(text) == bool(re.fullmatch(NAME, text))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("/", id="a slash"),
        pytest.param("a/", id="a slash at the end"),
        pytest.param("/a", id="a slash at the start"),
        pytest.param("a//b", id="two slashes"),
        pytest.param("Library/nginx", id="capitals"),
        pytest.param("a/../b", id="a step up"),
        pytest.param("..", id="a step up alone"),
        pytest.param("a/.", id="a step nowhere"),
        pytest.param(".a", id="a dot first"),
        pytest.param("a.", id="a dot last"),
        pytest.param("a..b", id="two dots"),
        pytest.param("a___b", id="three underscores"),
        pytest.param("a-", id="a dash last"),
        pytest.param("a._b", id="two kinds of separator"),
        pytest.param("a%2fb", id="an escape"),
        pytest.param("a:b", id="a colon"),
        pytest.param("a b", id="a space"),
        pytest.param("a\n", id="a line end"),
        pytest.param("a\0", id="a null byte"),
        pytest.param("ä", id="a letter of another alphabet"),
        pytest.param("\u0663", id="a digit of another script"),
        pytest.param("a" * 256, id="more than 255 characters"),
    ],
)
def test_a_repository_has_no_other_name(text: str) -> None:
    assert not is_name(text)
    with pytest.raises(InvalidName):
        Repository("docker.io", text)


@pytest.mark.parametrize("text", ["a", "a" * 255, "a/b/c/d", "a.b_c__d-e---f", "0", "library/nginx"])
def test_a_repository_may_be_named_so(text: str) -> None:
    assert str(Repository("docker.io", text)) == f"docker.io/{text}"


@given(tags)
def test_a_tag_survives_being_written_and_read(text: str) -> None:
    assert str(Tag.parse(text)) == text


@given(st.text("aZ0._-/:%\n ", max_size=12) | st.text())
def test_any_text_is_a_tag_of_the_specification_or_invalid(text: str) -> None:
    try:
        assert str(Tag.parse(text)) == text
    except InvalidName:
        assert not re.fullmatch(TAG, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(".", id="a dot"),
        pytest.param("..", id="a step up"),
        pytest.param("-a", id="a dash first"),
        pytest.param("a/b", id="a slash"),
        pytest.param("a%00", id="an escape"),
        pytest.param("a\n", id="a line end"),
        pytest.param("é", id="a letter of another alphabet"),
        pytest.param("a" * 129, id="129 characters"),
    ],
)
def test_what_is_no_tag_is_refused(text: str) -> None:
    with pytest.raises(InvalidName):
        Tag.parse(text)


def test_tags_know_capitals() -> None:
    assert Tag.parse("V1") != Tag.parse("v1")


@pytest.mark.parametrize("parse", [Tag.parse, lambda text: Repository("docker.io", text)], ids=["a tag", "a name"])
def test_a_refusal_quotes_no_more_than_a_line_of_what_was_sent(parse: type) -> None:
    with pytest.raises(InvalidName) as refusal:
        parse("%" * 100_000)
    assert len(str(refusal.value)) < 250


def test_a_colon_tells_a_digest_from_a_tag() -> None:
    digest = Digest.of(b"")
    assert parse_target(str(digest)) == digest
    assert parse_target(digest.hex) == Tag(digest.hex)
    assert parse_target("1.27") == Tag("1.27")
    with pytest.raises(InvalidDigest):
        parse_target("sha256:1.27")
    with pytest.raises(InvalidName):
        parse_target("sha256%3A1.27")


@given(st.text())
def test_any_text_is_a_target_or_invalid(text: str) -> None:
    with suppress(InvalidName, InvalidDigest):
        assert str(parse_target(text)) == text


def test_a_reference_is_written_as_people_write_it() -> None:
    repository = Repository("docker.io", "library/nginx")
    digest = Digest.of(b"")
    assert str(Reference(repository, Tag("1.27"))) == "docker.io/library/nginx:1.27"
    assert str(Reference(repository, digest)) == f"docker.io/library/nginx@{digest}"


def test_a_tag_in_full_is_read_as_it_is_written() -> None:
    reference = Reference(Repository("registry.local:5000", "a/b"), Tag("1.27"))
    assert reference_named(str(reference)) == reference


@pytest.mark.parametrize("text", ["", "docker.io", "docker.io/nginx", "docker.io/nginx:a b", f"docker.io/nginx@{Digest.of(b'')}"])
def test_what_is_no_tag_in_full_is_refused(text: str) -> None:
    with pytest.raises(InvalidName):
        reference_named(text)
