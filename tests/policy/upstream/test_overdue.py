"""An upstream that keeps a question waiting is asked one at a time, until it answers anything."""

from contextlib import suppress

import pytest

from regproxy.policy.upstream.overdue import Overdue


class No(Exception):
    """What upstream said."""


@pytest.mark.parametrize(("end", "is_over"), [(None, True), (No("not found"), True), (OSError("reset"), False)])
def test_an_answer_ends_it_and_a_failure_does_not(end: Exception | None, *, is_over: bool) -> None:
    overdue = Overdue(No)
    assert overdue.may_ask("a")
    overdue.add("a")
    assert "a" in overdue
    assert overdue.may_ask("a")
    with suppress(No, OSError), overdue.asking("a"):
        assert not overdue.may_ask("a")
        assert overdue.may_ask("b")
        if end is not None:
            raise end
    assert overdue.may_ask("a")
    assert ("a" not in overdue) == is_over


def test_whoever_answers_is_asked_as_often_as_others_like() -> None:
    overdue = Overdue(No)
    with overdue.asking("a"), overdue.asking("a"):
        assert overdue.may_ask("a")
