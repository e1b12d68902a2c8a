import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.freezing import Freeze, freeze_of, is_pattern, whole_pattern

NGINX = Reference(Repository("docker.io", "library/nginx"), Tag("1.27"))


@pytest.mark.parametrize(
    ("pattern", "covers"),
    [
        pytest.param("docker.io/library/nginx:1.27", True, id="the tag"),
        pytest.param("docker.io/library/nginx:1.2", False, id="half of the tag"),
        pytest.param("docker.io/library/nginx:*", True, id="the repository"),
        pytest.param("docker.io/library/*", True, id="a namespace"),
        pytest.param("docker.io/*", True, id="the registry"),
        pytest.param("quay.io/*", False, id="another registry"),
        pytest.param("docker.io/library/*:2.*", False, id="other tags"),
    ],
)
def test_a_freeze_covers_what_its_pattern_says(pattern: str, covers: bool) -> None:
    assert (freeze_of(NGINX, [Freeze(pattern)]) is not None) is covers


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("docker.io/library/nginx", "docker.io/library/nginx:*"),
        ("docker.io/library/nginx:1.27", "docker.io/library/nginx:1.27"),
        ("docker.io/library/*", "docker.io/library/*"),
        ("reg:5000/app", "reg:5000/app:*"),
    ],
)
def test_a_repository_means_all_its_tags(written: str, meant: str) -> None:
    assert whole_pattern(written) == meant


def test_a_digest_goes_before_a_pattern_and_a_longer_pattern_before_a_shorter() -> None:
    held = Freeze("docker.io/*", Digest.of(b""))
    tag, all_tags = Freeze("docker.io/library/nginx:1.27"), Freeze("docker.io/library/nginx:*")
    assert freeze_of(NGINX, [tag, held]) == held
    assert freeze_of(NGINX, [all_tags, tag]) == tag


@pytest.mark.parametrize("text", ["", "a" * 1025, "docker.io/a\n", "docker.io/\ud800"])
def test_what_cannot_be_stored_or_shown_is_no_pattern(text: str) -> None:
    assert not is_pattern(text)
    assert is_pattern("docker.io/library/*")
