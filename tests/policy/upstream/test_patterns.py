"""Names of registries by pattern."""

from fnmatch import fnmatchcase
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.policy.upstream.patterns import InvalidPattern, Patterns, check_pattern

letters = st.text("ab-_", min_size=1, max_size=4)
labels = st.one_of(letters, st.sampled_from(["*", "a*", "*a", "a*b", "*a*", "us-*"]), letters)
patterns = st.lists(labels, min_size=1, max_size=3).map(lambda found: ".".join([*found, "pkg", "dev"]))
names = st.one_of(
    st.lists(st.text("ab-_.", max_size=4), min_size=1, max_size=4).map(lambda found: ".".join([*found, "pkg", "dev"])),
    st.text("ab.:*-", max_size=12),
)


def _taken(several: list[str]) -> list[str]:
    return [pattern for pattern in several if _is_taken(pattern)]


def _is_taken(pattern: str) -> bool:
    try:
        check_pattern(pattern)
    except InvalidPattern:
        return False
    return True


def _is_named(pattern: str, name: str) -> bool:
    """Say independently, label by label, whether *pattern* names *name*."""
    ours, theirs = pattern.split("."), name.split(".")
    return len(ours) == len(theirs) and all(their != "" and fnmatchcase(their, our) for our, their in zip(ours, theirs, strict=True))


FOUND = [
    pytest.param("*.pkg.dev", "europe-docker.pkg.dev", True, id="one label"),
    pytest.param("*.pkg.dev", "pkg.dev", False, id="none"),
    pytest.param("*.pkg.dev", ".pkg.dev", False, id="an empty one"),
    pytest.param("*.pkg.dev", "a.b.pkg.dev", False, id="two"),
    pytest.param("*.pkg.dev", "a.pkg.dev.evil.example", False, id="a longer name"),
    pytest.param("*.pkg.dev", "a.pkgxdev", False, id="a dot is a dot"),
    pytest.param("*.pkg.dev", "a.pkg.dev:5000", False, id="another port"),
    pytest.param("*.pkg.dev", "-.pkg.dev", False, id="no label"),
    pytest.param("*.pkg.dev", "a_.pkg.dev", False, id="no label either"),
    pytest.param("*.pkg.dev", "a/b.pkg.dev", False, id="a path"),
    pytest.param("*.pkg.dev", "a@b.pkg.dev", False, id="a user"),
    pytest.param("*.pkg.dev", "a.pkg.dev\n", False, id="a line's end"),
    pytest.param("*.pkg.dev", "\u0430.pkg.dev", False, id="a letter of elsewhere"),
    pytest.param("*.pkg.dev", "a" * 300 + ".pkg.dev", False, id="longer than any name"),
    pytest.param("*.pkg.dev:5000", "a.pkg.dev:5000", True, id="with its port"),
    pytest.param("*.pkg.dev:5000", "a.pkg.dev", False, id="without its port"),
    pytest.param("*-docker.pkg.dev", "us-docker.pkg.dev", True, id="part of a label"),
    pytest.param("*-docker.pkg.dev", "us-npm.pkg.dev", False, id="another part"),
    pytest.param("*.dkr.ecr.*.amazonaws.com", "1234.dkr.ecr.eu-west-1.amazonaws.com", True, id="ECR"),
    pytest.param("*.dkr.ecr.*.amazonaws.com", "1234.dkr.ecr.evil.s3.amazonaws.com", False, id="a bucket that looks like it"),
]


@pytest.mark.parametrize(("pattern", "name", "found"), FOUND)
def test_n19_02_a_star_is_one_label_or_part_of_one(pattern: str, name: str, found: bool) -> None:
    check_pattern(pattern)
    assert (Patterns([(pattern, pattern)]).find(name) is not None) is found


REFUSED = [
    ("*", "must end in a domain"),
    ("*.com", "must end in a domain"),
    ("*.*.com", "must end in a domain"),
    ("example.*", "must end in a domain"),
    ("*.example.*", "must end in a domain"),
    ("*.0.0.1", "must end in a domain"),
    ("*example.com", "must end in a domain"),
    ("***.example.com", "more than 2"),
    ("*.Example.com", "is not a pattern"),
    ("*..example.com", "is not a pattern"),
    ("*.example.com.", "is not a pattern"),
    ("https://*.example.com", "is not a pattern"),
    ("*.example.com/team", "is not a pattern"),
    ("[a-z]*.example.com", "is not a pattern"),
    ("*.example.com:", "is not a pattern"),
    ("*.example.com:0", "is not a pattern"),
    ("*.example.com:443", "default ports"),
    ("*." * 15 + "example.com", "is not a pattern"),
]


@pytest.mark.parametrize(("pattern", "why"), REFUSED)
def test_n19_02_a_pattern_names_registries_of_one_domain(pattern: str, why: str) -> None:
    with pytest.raises(InvalidPattern, match=why):
        check_pattern(pattern)


@given(st.lists(patterns, max_size=4).map(_taken), names)
def test_n19_02_no_name_is_found_that_no_pattern_names(several: list[str], name: str) -> None:
    found = Patterns([(pattern, pattern) for pattern in several]).find(name)
    assert found is None or _is_named(found, name)


@given(st.lists(patterns, min_size=2, max_size=5, unique=True).map(_taken), names, st.randoms())
def test_n19_02_the_more_specific_pattern_counts_in_whatever_order_they_are(several: list[str], name: str, chance: Random) -> None:
    found = Patterns([(pattern, pattern) for pattern in several]).find(name)
    chance.shuffle(several)
    assert Patterns([(pattern, pattern) for pattern in several]).find(name) == found
    # A pattern that is named by another one, its stars being letters, names a part of what that one names.
    within = [pattern for pattern in several if found is not None and pattern != found and _is_named(found, pattern)]
    assert not any(_is_named(pattern, name) for pattern in within)
