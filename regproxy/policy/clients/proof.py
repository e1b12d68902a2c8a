"""Has a credential been shown to open a repository: what upstream answered last, and for how long that is believed.

Times are seconds since the epoch, for proofs are shared between replicas.
"""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

_MAX_AHEAD = 60.0  # seconds by which clocks of replicas may differ
_REFUSED_FOR = 10.0  # seconds; access may just have been granted
_WRONG_FOR = 300.0  # seconds: registries lock accounts after a few wrong passwords


class Finding(Enum):
    """What upstream answered."""

    ALLOWED = "allowed"  # the repository may be read
    REFUSED = "refused"  # it may not, or there is none
    WRONG = "wrong"  # the credential is none, whatever is asked for
    ENDED = "ended"  # something was refused that was given before: it has to be asked anew


@dataclass(frozen=True, slots=True)
class Proof:
    """What upstream answered to a credential about a repository, when it was asked, and about what of it."""

    asked_at: float
    finding: Finding
    thing: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ProofTimes:
    """For how long an answer is believed, in seconds."""

    proof_for: float = 600.0
    stale_for: float = 3600.0  # beyond that, while upstream is out of reach


@dataclass(frozen=True, slots=True)
class Proven:
    """It opens the repository, *until* then."""

    until: float


@dataclass(frozen=True, slots=True)
class Refuted:
    """It does not; upstream said so a moment ago."""

    proof: Proof


@dataclass(frozen=True, slots=True)
class Unproven:
    """Upstream has to be asked; where it is out of reach, what it said last *may_stand_in*."""

    may_stand_in: bool


Judgement: TypeAlias = Proven | Refuted | Unproven


def judge(proof: Proof | None, now: float, times: ProofTimes) -> Judgement:
    """Return what *proof* is worth; one from the future, which a clock set back produces, is not believed."""
    if proof is None or now < proof.asked_at - _MAX_AHEAD:
        return Unproven(may_stand_in=False)
    age = now - proof.asked_at
    if proof.finding is Finding.ALLOWED:
        return Proven(proof.asked_at + times.proof_for) if age < times.proof_for else Unproven(age < times.proof_for + times.stale_for)
    believed_for = {Finding.REFUSED: _REFUSED_FOR, Finding.WRONG: _WRONG_FOR}.get(proof.finding, 0.0)
    return Refuted(proof) if age < believed_for else Unproven(may_stand_in=False)


def newer(one: Proof | None, other: Proof | None) -> Proof | None:
    """Return what was asked later; of two that were asked at once, the one that opens less."""
    if one is None or other is None:
        return one or other
    if one.asked_at == other.asked_at:
        return one if one.finding is not Finding.ALLOWED else other
    return one if one.asked_at > other.asked_at else other
