"""What operators decided at any member, as all members come to know it: pins, and freezes that were set at run time.

Each decision has the time at which it was made, and the last one about a thing counts, at whichever member it was made. What was ended is
remembered as such for a while, or a member that was away would bring it back.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from hashlib import sha256
from itertools import accumulate
from typing import Literal, TypeAlias

from regproxy.oci.digest import Digest, InvalidDigest
from regproxy.policy.freezing import is_pattern

Kind: TypeAlias = Literal["freeze", "pin"]

MAX = 10_000  # decisions that members tell each other
MAX_ENCODED = 16 * 1024 * 1024  # bytes of them
REMEMBERED_FOR = 30 * 86_400_000  # milliseconds, of what was ended
_AHEAD = 366 * 86_400_000  # milliseconds by which another member's clock may be ahead of ours
_MAX_LINE = 16 * 1024  # bytes of one of them: a name of a thousand characters is twelve thousand bytes at most
_MAX_OTHERS = 200  # bytes of JSON for all of a decision but its name


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
    lasting = [each for each in decisions if not _is_over(each, now)]
    newest = sorted(lasting, key=lambda each: each.weight, reverse=True)[:MAX]
    sizes = accumulate(_MAX_OTHERS + len(json.dumps(each.name)) for each in newest)
    fitting = [each for each, size in zip(newest, sizes, strict=True) if size <= MAX_ENCODED]
    return sorted(fitting, key=lambda each: (each.kind, each.name))


def version(decisions: Sequence[Decision]) -> str:
    """Name what is told: who has the same name for it knows the same."""
    return sha256(encoded(decisions)).hexdigest()[:32]


def newer(ours: Iterable[Decision], theirs: Iterable[Decision], now: int) -> list[Decision]:
    """Return what of *theirs* counts here, and we did not know, the newest of it where we would know too much.

    A clock that is ahead makes what counts until something else is decided, anywhere: that is later than all that was known there. One
    that is ahead by more than a year counts for nothing, or there would be no later moment.
    """
    known: Mapping[tuple[str, str], Decision] = {(each.kind, each.name): each for each in ours}
    changed, unknown = [], []
    for each in theirs:
        if each.at > now + _AHEAD or _is_over(each, now):
            continue
        before = known.get((each.kind, each.name))
        if before is None:
            unknown.append(each)
        elif each.weight > before.weight:
            changed.append(each)
    unknown.sort(key=lambda each: each.weight, reverse=True)
    return changed + unknown[: max(0, MAX - len(known))]


def _is_over(decision: Decision, now: int) -> bool:
    return decision.value is None and decision.at <= now - REMEMBERED_FOR


def encoded(decisions: Sequence[Decision]) -> bytes:
    """Write each as a line of JSON."""
    return b"".join(json.dumps(astuple(each), separators=(",", ":")).encode() + b"\n" for each in decisions)


def decoded(body: bytes) -> list[Decision]:
    """Read what `encoded` wrote; raise `ValueError` for anything else. What is parsed at once is as long as one of them."""
    *lines, rest = body.split(b"\n", MAX)
    if rest or any(len(line) > _MAX_LINE for line in lines):
        raise ValueError("not decisions, or more than members tell")
    try:
        return [_checked(*json.loads(line)) for line in lines]
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
