"""Which tags are frozen: they keep the digest that they had, whatever upstream answers.

A freeze is a pattern such as `docker.io/library/nginx:1.27` or `docker.io/library/*`. With a digest it says what its tags mean; without
one they mean what they mean now, and a tag that is not known yet is looked up once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference

_MAX_PATTERN_CHARACTERS = 1024


@dataclass(frozen=True, slots=True)
class Freeze:
    """A pattern over `registry/repository:tag`, and the digest its tags are held to."""

    pattern: str
    digest: Digest | None = None

    def covers(self, reference: Reference) -> bool:
        return covers(self.pattern, str(reference))


def is_pattern(text: str) -> bool:
    """Report whether *text* may be a pattern: it is stored, logged, and shown to people."""
    return 0 < len(text) <= _MAX_PATTERN_CHARACTERS and text.isprintable()


def covers(pattern: str, tag: str) -> bool:
    """Report whether a tag, written in full, is one of those that *pattern* names."""
    return fnmatchcase(tag, pattern)


def touches(pattern: str, repository: str) -> bool:
    """Report whether *pattern* may name a tag of *repository*, written in full."""
    return covers(pattern, f"{repository}:*") or fnmatchcase(repository, pattern.rpartition(":")[0])


def freeze_of(reference: Reference, freezes: Iterable[Freeze]) -> Freeze | None:
    """Find the freeze that holds a tag: one with a digest before one without, then the longer pattern."""
    return max((freeze for freeze in freezes if freeze.covers(reference)), key=_weight, default=None)


def whole_pattern(pattern: str) -> str:
    """Complete the name of a repository to mean all its tags."""
    return pattern if ":" in pattern.rpartition("/")[2] or pattern.endswith("*") else f"{pattern}:*"


def _weight(freeze: Freeze) -> tuple[bool, int]:
    return freeze.digest is not None, len(freeze.pattern)
