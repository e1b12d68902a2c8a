"""What operators decided at any member, as all members come to know it: pins, and freezes that were set at run time.

Each decision has the time at which it was made, and the last one about a thing counts, at whichever member it was made. What was ended is
remembered as such for a while, or a member that was away would bring it back.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from hashlib import sha256
from typing import Literal, TypeAlias

from regproxy.oci.digest import Digest, InvalidDigest
from regproxy.policy.freezing import is_pattern

Kind: TypeAlias = Literal["freeze", "pin"]

MAX = 10_000  # decisions that members tell each other
MAX_ENCODED = 16 * 1024 * 1024  # bytes of them
REMEMBERED_FOR = 30 * 86_400_000  # milliseconds, of what was ended
_AHEAD = 60_000  # milliseconds by which another member's clock may be ahead of ours


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided last about a thing, in milliseconds since 1970.

    *value* is the digest that a freeze holds tags to, nothing where it holds them to what they mean; None where freeze or pin was ended.
    """

    kind: Kind
    name: str  # a pattern, or a digest
    value: str | None
    at: int

    @property
    def weight(self) -> tuple[int, bool, str]:
        """Of two decisions about a thing the one that weighs more counts, at every member."""
        return self.at, self.value is not None, self.value or ""


def told(decisions: Iterable[Decision], now: int) -> list[Decision]:
    """Return what a member tells others, the newest if there is too much, in an order that is the same at all."""
    lasting = [each for each in decisions if each.value is not None or each.at > now - REMEMBERED_FOR]
    newest = sorted(lasting, key=lambda each: each.weight, reverse=True)[:MAX]
    return sorted(newest, key=lambda each: (each.kind, each.name))


def version(decisions: Sequence[Decision]) -> str:
    """Name what is told: who has the same name for it knows the same."""
    return sha256(encoded(decisions)).hexdigest()[:32]


def newer(ours: Iterable[Decision], theirs: Iterable[Decision], now: int) -> list[Decision]:
    """Return what of *theirs* we did not know; what is from the future was not decided yet."""
    known: Mapping[tuple[str, str], Decision] = {(each.kind, each.name): each for each in ours}
    found = []
    for each in theirs:
        before = known.get((each.kind, each.name))
        if each.at <= now + _AHEAD and (before is None or each.weight > before.weight):
            found.append(each)
    return found


def encoded(decisions: Sequence[Decision]) -> bytes:
    return json.dumps([astuple(each) for each in decisions], separators=(",", ":")).encode()


def decoded(body: bytes) -> list[Decision]:
    """Read what `encoded` wrote; raise `ValueError` for anything else."""
    try:
        rows = json.loads(body)
        if not isinstance(rows, list) or len(rows) > MAX:
            raise ValueError("not as many decisions as members tell")
        return [_checked(*row) for row in rows]
    except (TypeError, RecursionError, InvalidDigest) as error:
        raise ValueError("not a list of decisions") from error


def _checked(kind: object, name: object, value: object, at: object) -> Decision:
    if not isinstance(name, str) or not isinstance(value, str | None) or not isinstance(at, int) or at < 0:
        raise ValueError("not a decision")
    match kind:
        case "pin" if value in {None, ""}:
            return Decision("pin", str(Digest.parse(name)), value, at)
        case "freeze" if is_pattern(name):
            return Decision("freeze", name, str(Digest.parse(value)) if value else value, at)
    raise ValueError("not a decision")
