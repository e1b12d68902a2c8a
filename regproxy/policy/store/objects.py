"""Where things lie in an object store, by path: content by its digest, and who holds what by names.

No component of a repository's name is `_`: what follows it belongs to no longer name.
"""

from regproxy.oci.digest import Digest, InvalidDigest
from regproxy.oci.reference import Repository

BLOBS = "blobs/"
SUMS = "sums/"
LINKS = "links/"
TAGS = "tags/"
USES = "uses/"
TOMBSTONES = "tombstones/"
PINS = "pins/"
FREEZES = "freezes/"
LEASES = "leases/evict/"
PROBES = "leases/probes/"

MARK = b"1"  # what lies where only the path and the time say something


def blob(digest: Digest) -> str:
    """Return where content lies, as it is."""
    return f"{BLOBS}{digest.algorithm}/{digest.hex}"


def sums(digest: Digest) -> str:
    """Return where the hashes of its pieces lie, which are written last: without them there is no content."""
    return f"{SUMS}{digest.algorithm}/{digest.hex}"


def link(kind: str, repository: Repository, digest: Digest) -> str:
    """Return where it lies that *repository* holds content."""
    return f"{LINKS}{repository}/_/{kind}/{digest.algorithm}/{digest.hex}"


def tag(repository: Repository, name: str) -> str:
    """Return where it lies what a tag means, and has meant."""
    return f"{TAGS}{repository}/_/{name}"


def access(repository: Repository) -> str:
    """Return where it lies that upstream refuses *repository*."""
    return f"closed/{repository}/_"


def use(digest: Digest) -> str:
    """Return what is written anew when content is used."""
    return f"{USES}{digest.algorithm}/{digest.hex}"


def tombstone(digest: Digest) -> str:
    """Return what says that content is about to be deleted."""
    return f"{TOMBSTONES}{digest.algorithm}/{digest.hex}"


def pin(digest: Digest) -> str:
    return f"{PINS}{digest.algorithm}/{digest.hex}"


def freeze(pattern: str) -> str:
    """Return where a freeze lies; a pattern may have signs in it that no path may have."""
    return f"{FREEZES}{Digest.of(pattern.encode()).hex}"


def digest_of(path: str) -> Digest | None:
    """Return the digest that a path ends with; None where that is none."""
    parts = path.rsplit("/", 2)
    try:
        return Digest.parse(":".join(parts[-2:]))
    except InvalidDigest:
        return None
