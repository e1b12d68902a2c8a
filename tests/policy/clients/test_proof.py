"""Proofs: believed for their time, for longer in an outage, and never after a refusal."""

import pytest

from regproxy.policy.clients.proof import Finding, Proof, ProofTimes, Proven, Refuted, Unproven, judge, newer

TIMES = ProofTimes(proof_for=600.0, stale_for=3600.0)
ASKED_AT = 1_785_585_600.0
ALLOWED, REFUSED, WRONG, ENDED = (Proof(ASKED_AT, finding) for finding in Finding)


def test_n16_03_a_proof_has_its_time_and_a_longer_one_in_an_outage() -> None:
    assert judge(None, ASKED_AT, TIMES) == Unproven(may_stand_in=False)
    assert judge(ALLOWED, ASKED_AT + 599, TIMES) == Proven(ASKED_AT + 600)
    assert judge(ALLOWED, ASKED_AT + 600, TIMES) == Unproven(may_stand_in=True)
    assert judge(ALLOWED, ASKED_AT + 4200, TIMES) == Unproven(may_stand_in=False)


def test_n16_03_a_proof_from_the_future_is_none() -> None:
    assert judge(ALLOWED, ASKED_AT - 30, TIMES) == Proven(ASKED_AT + 600)
    assert judge(ALLOWED, ASKED_AT - 61, TIMES) == Unproven(may_stand_in=False)


@pytest.mark.parametrize(("proof", "seconds"), [(REFUSED, 10), (WRONG, 300)])
def test_n16_03_a_refusal_is_believed_for_a_moment_and_a_wrong_password_for_longer(proof: Proof, seconds: float) -> None:
    assert judge(proof, ASKED_AT + seconds - 1, TIMES) == Refuted(proof)
    assert judge(proof, ASKED_AT + seconds, TIMES) == Unproven(may_stand_in=False)


def test_n16_03_what_was_ended_has_to_be_asked() -> None:
    assert judge(ENDED, ASKED_AT, TIMES) == Unproven(may_stand_in=False)


def test_n16_03_what_was_asked_later_counts() -> None:
    later = Proof(ASKED_AT + 1, Finding.ALLOWED)
    assert newer(None, None) is None
    assert newer(ALLOWED, None) is newer(None, ALLOWED) is ALLOWED
    assert newer(REFUSED, later) is newer(later, REFUSED) is later
    assert newer(ALLOWED, ENDED) is newer(ENDED, ALLOWED) is ENDED
