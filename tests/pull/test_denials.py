"""What upstream said no to, and how it is said again."""

import pytest

from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.freshness import Denied, Missing
from regproxy.ports import Answer, InvalidContent, NotFound, Refused, Rejected
from regproxy.pull.denials import Denials, answer_of, denial_of

REFERENCE = Reference(Repository("docker.io", "library/app"), Tag("1"))

ANSWERS: list[tuple[Answer, int, str]] = [
    (NotFound("no such tag"), 404, "MANIFEST_UNKNOWN"),
    (Refused("not for you"), 403, "DENIED"),
    (Rejected("for legal reasons", 451, "DENIED"), 451, "DENIED"),
    (InvalidContent("no manifest"), 422, "MANIFEST_INVALID"),
]


@pytest.mark.parametrize(("answer", "status", "code"), ANSWERS, ids=[type(answer).__name__ for answer, _, _ in ANSWERS])
def test_an_answer_is_said_again_with_its_age(answer: Answer, status: int, code: str) -> None:
    now = [100.0]
    denials = Denials(lambda: now[0])
    denial = denial_of(answer, now[0])
    assert denial is not None
    denials.put(REFERENCE, denial)
    now[0] += 7
    found = denials.get(REFERENCE)
    assert found == denial
    error = denials.error(found)
    assert (error.status, error.code) == (status, code)
    assert error.message == f"{answer}, as upstream said 7 s ago"


def test_that_our_credentials_are_wrong_says_nothing_of_a_tag() -> None:
    assert denial_of(Refused("wrong password", whatever_asked=True), 1.0) is None


def test_what_another_worker_heard_is_an_answer_here() -> None:
    missing, rejected = answer_of(Missing("no such tag", 1.0)), answer_of(Denied("not for you", 1.0, 403, "DENIED"))
    assert (type(missing), str(missing)) == (NotFound, "no such tag")
    assert isinstance(rejected, Rejected)
    assert (rejected.status, rejected.code) == (403, "DENIED")


def test_what_is_forgotten_is_asked_for_again() -> None:
    denials = Denials(lambda: 0.0)
    denials.put(REFERENCE, Missing("no such tag", 0.0))
    denials.forget(REFERENCE)
    denials.forget(REFERENCE)
    assert denials.get(REFERENCE) is None


def test_clients_choose_what_they_ask_for_so_what_is_remembered_is_bounded() -> None:
    denials = Denials(lambda: 0.0)
    tags = [Reference(REFERENCE.repository, Tag(f"v{number}")) for number in range(10_001)]
    for tag in tags:
        denials.put(tag, Missing("no such tag", 0.0))
    assert [denials.get(tags[0]), denials.get(tags[1]) is not None] == [None, True]
