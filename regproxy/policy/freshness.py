"""Is a tag's record good enough, must upstream be asked, may a stale one be served (Kubernetes: imagePullPolicy).

Times are seconds since the epoch: a record outlives restarts, so no monotonic clock can judge it. A record from the future, which a
clock set back produces, counts as just checked once and no longer.
"""

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias, assert_never

from regproxy.oci.descriptor import Descriptor
from regproxy.policy.upstream.limits import STRETCH

DAY = 86_400.0
_DENIED_FOR = 5.0  # seconds that a refusal is repeated: whoever is let in is not to wait, nor is upstream to be stormed
_OF_A_DIGEST = re.compile(r"sha(?:256|512)-[0-9a-f]{64}")


class PullPolicy(Enum):
    """When a tag is looked up upstream, in Kubernetes' words."""

    ALWAYS = "always"
    IF_NOT_PRESENT = "if-not-present"
    NEVER = "never"
    ON_FAILURE = "on-failure"


@dataclass(frozen=True, slots=True)
class TagPolicy:
    """The rule for the tags that *match*; durations in seconds."""

    match: str = "*"
    policy: PullPolicy = PullPolicy.ALWAYS
    fresh_for: float = 300.0
    stale_for: float = 7 * DAY
    missing_for: float = 10.0
    is_urgent: bool = False  # upstream is asked even where few pulls are left
    cooldown: float = 0.0  # how long a meaning has to be known before it is served
    refuses_first: bool = False  # also where the tag has no other
    gone_for: float = 0.0  # how long a tag is served that upstream has deleted

    @property
    def goes_by_history(self) -> bool:
        """Whether it matters when something was first seen."""
        return self.cooldown > 0 or self.gone_for > 0


@dataclass(frozen=True, slots=True)
class TagRecord:
    """What a tag meant when upstream was last asked."""

    descriptor: Descriptor
    checked_at: float


@dataclass(frozen=True, slots=True)
class Missing:
    """Upstream's word that there is no such tag, and when it was given."""

    reason: str
    checked_at: float


@dataclass(frozen=True, slots=True)
class Denied:
    """Upstream's word that a tag is there, but not for us or not fit to be served: what a client is told, and when it was given."""

    reason: str
    checked_at: float
    status: int
    code: str


Denial: TypeAlias = Missing | Denied
TagAnswer: TypeAlias = TagRecord | Denial


def exact_rule(rule: TagPolicy, tag: str) -> TagPolicy:
    """Return the rule for a tag that says what belongs to a digest: a signature, an attestation, an SBOM, an index of referrers.

    What was attached or signed a moment ago is looked for now (distribution-spec, Referrers Tag Schema; cosign), so upstream is asked each
    time and nothing of it cools down, unless upstream must never be asked or *rule* is meant for such tags.
    """
    is_meant = any(algorithm in rule.match for algorithm in ("sha256-", "sha512-"))
    if rule.policy is PullPolicy.NEVER or is_meant or not _OF_A_DIGEST.match(tag):
        return rule
    return replace(rule, policy=PullPolicy.ALWAYS, fresh_for=0.0, missing_for=0.0, is_urgent=True, cooldown=0.0)


@dataclass(frozen=True, slots=True)
class Fresh:
    """Serve the record."""

    record: TagRecord


@dataclass(frozen=True, slots=True)
class Stale:
    """Serve the record, and ask upstream behind the response."""

    record: TagRecord


@dataclass(frozen=True, slots=True)
class Revalidate:
    """Ask upstream whether it still means the same."""

    record: TagRecord


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing is known: ask upstream."""


@dataclass(frozen=True, slots=True)
class Offline:
    """Nothing is known, and upstream may not be asked."""


@dataclass(frozen=True, slots=True)
class KnownMissing:
    """Upstream said a moment ago that there is no such tag, or none for us."""

    denial: Denial


Verdict: TypeAlias = Fresh | Stale | Revalidate | Unknown | Offline | KnownMissing


def judge(
    record: TagRecord | None,
    rule: TagPolicy,
    now: float,
    *,
    is_down: bool = False,
    is_scarce: bool = False,
    missing: Denial | None = None,
) -> Verdict:
    """Return what the rule asks for, given what is known.

    *is_down*: upstream failed a moment ago. Waiting for it at every pull would make an outage slow as well, so it is asked behind.
    *is_scarce*: few pulls are left. Tags stay fresh for longer, and nobody waits while a record may stand in.
    *missing*: what upstream said when there was no such tag, or none for us; it is said again for a moment. A record from before that is
    not served again until upstream says otherwise, however badly it can be reached; where a rule serves what is here whatever its age, only
    a refusal ends that.
    """
    is_scarce = is_scarce and not rule.is_urgent
    is_missing = isinstance(missing, Missing) and _age(missing, now) < rule.missing_for
    is_denied = isinstance(missing, Denied) and _age(missing, now) < min(rule.missing_for, _DENIED_FOR)
    if record is None and rule.policy is PullPolicy.NEVER:
        return Offline()
    if record is None:
        return KnownMissing(missing) if missing is not None and (is_missing or is_denied) else Unknown()
    match rule.policy:
        case PullPolicy.ALWAYS if missing is not None and is_missing:
            return KnownMissing(missing)
        case PullPolicy.ALWAYS | PullPolicy.ON_FAILURE if missing is not None and is_denied and is_over(record, missing):
            return KnownMissing(missing)
        case PullPolicy.ALWAYS if is_over(record, missing):
            return Revalidate(record)
        case PullPolicy.ALWAYS if _age(record, now) < rule.fresh_for * (STRETCH if is_scarce else 1.0):
            return Fresh(record)
        case PullPolicy.ALWAYS:
            return Stale(record) if (is_down or is_scarce) and may_serve_stale(record, rule, now) else Revalidate(record)
        case PullPolicy.ON_FAILURE if isinstance(missing, Denied) and is_over(record, missing):
            return Revalidate(record)
        case PullPolicy.ON_FAILURE:
            return Fresh(record) if _age(record, now) < rule.fresh_for else Stale(record)
        case PullPolicy.IF_NOT_PRESENT | PullPolicy.NEVER:
            return Fresh(record)
        case _ as never:
            assert_never(never)


def is_fresh(record: TagRecord, rule: TagPolicy, now: float) -> bool:
    """Report whether `judge` calls a record fresh, of an upstream that is well and took nothing back."""
    if _age(record, now) < rule.fresh_for:  # first: an Enum's hash is slow, and this is asked at each hit
        return True
    return rule.policy in {PullPolicy.IF_NOT_PRESENT, PullPolicy.NEVER}


def may_serve_stale(record: TagRecord | None, rule: TagPolicy, now: float, missing: Denial | None = None) -> bool:
    """Report whether a record may be served for an upstream that is unreachable; *missing*: its last answer was 404."""
    return record is not None and _age(record, now) < rule.fresh_for + rule.stale_for and not is_over(record, missing)


def is_over(record: TagRecord, missing: Denial | None) -> bool:
    """Report whether upstream took back what is on record."""
    return missing is not None and missing.checked_at >= record.checked_at


def _age(record: TagAnswer, now: float) -> float:
    return abs(now - record.checked_at)
