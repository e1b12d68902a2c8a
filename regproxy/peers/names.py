"""What members call the pieces that they exchange."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from regproxy.oci.digest import Digest, InvalidDigest
from regproxy.oci.reference import InvalidName, Repository
from regproxy.policy.fleet import ring
from regproxy.policy.fleet.cut import Cut

PIECES = "/fleet/v1/pieces"
PING = "/fleet/v1/ping"
DECIDED = "/fleet/v1/decisions"


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob of one repository: what upstream gives to one it may keep from another."""

    repository: Repository
    digest: Digest


@dataclass(frozen=True, slots=True)
class PieceName:
    """A piece of a blob."""

    blob: Blob
    cut: Cut

    def __str__(self) -> str:
        return f"piece {self.cut.number} of {self.blob.digest}"

    @property
    def begin(self) -> ring.Begin:
        """Where among the members it begins."""
        return ring.start(str(self.blob.digest), self.cut.number)


def target_of(blob: Blob, *, is_final: bool, us: str = "") -> str:
    """Write the target of a request for a part of *blob*, by the member that is called *us*."""
    query = {"ns": blob.repository.registry, "name": blob.repository.name, "digest": str(blob.digest), "final": str(int(is_final))}
    query |= {"from": us} if us else {}
    return f"{PIECES}?{urlencode(query)}"


def parsed(query: Mapping[str, Sequence[str]]) -> tuple[Blob, bool, str]:
    """Read what `target_of` wrote, and who; raise `ValueError`."""
    try:
        found = {name: value for name, (value,) in query.items()}
        return Blob(Repository(found["ns"], found["name"]), Digest.parse(found["digest"])), found["final"] == "1", found.get("from", "")
    except (KeyError, ValueError, InvalidDigest, InvalidName) as error:
        raise ValueError("not a part of a blob") from error
