import json
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.digest import Digest
from regproxy.policy.fleet.decisions import MAX, MAX_ENCODED, REMEMBERED_FOR, Decision, decoded, encoded, newer, told, version

DIGEST = str(Digest.of(b"an image"))
NOW = 1_800_000_000_000
FREEZE = Decision("freeze", "docker.io/library/*", "", NOW - 5000)
PIN = Decision("pin", DIGEST, "", NOW - 5000)
ENDED = replace(FREEZE, value=None, at=NOW - 4000)
VALUES, TIMES = st.sampled_from([None, "", DIGEST]), st.integers(NOW - 3, NOW)
DECISIONS = st.lists(st.builds(Decision, st.just("freeze"), st.sampled_from("abc"), VALUES, TIMES), max_size=8)


def known(decisions: list[Decision]) -> dict[str, Decision]:
    """Keep what counts of each thing, as an index does."""
    found: dict[str, Decision] = {}
    for each in sorted(decisions, key=lambda each: each.weight):
        found[each.name] = each
    return found


@given(DECISIONS, DECISIONS)
def test_n17_14_members_that_tell_each_other_what_they_know_know_the_same(ours: list[Decision], theirs: list[Decision]) -> None:
    here, there = known(ours), known(theirs)
    learnt = {each.name: each for each in newer(here.values(), there.values(), NOW)}
    taught = {each.name: each for each in newer(there.values(), here.values(), NOW)}
    assert version(told((here | learnt).values(), NOW)) == version(told((there | taught).values(), NOW))


def test_n17_14_a_version_is_of_what_is_told_in_whichever_order_it_came() -> None:
    assert version(told([FREEZE, PIN], NOW)) == version(told([PIN, FREEZE], NOW))
    assert len({version(told(each, NOW)) for each in ([], [FREEZE], [ENDED], [FREEZE, PIN])}) == 4


def test_n17_14_the_last_decision_about_a_thing_counts() -> None:
    assert newer([FREEZE, PIN], [ENDED, PIN], NOW) == [ENDED]
    assert newer([ENDED, PIN], [FREEZE, PIN], NOW) == []
    assert newer([], [FREEZE], NOW) == [FREEZE]


def test_n17_14_what_a_clock_that_is_ahead_decided_counts_at_once_and_at_most_for_a_year() -> None:
    year = 366 * 86_400_000
    assert newer([FREEZE], [replace(ENDED, at=NOW + 3_600_000)], NOW) == [replace(ENDED, at=NOW + 3_600_000)]
    assert newer([], [replace(FREEZE, at=NOW + year)], NOW) == [replace(FREEZE, at=NOW + year)]
    assert newer([], [replace(FREEZE, at=NOW + year + 1)], NOW) == []


def test_n17_14_what_was_ended_long_ago_is_not_learnt_again() -> None:
    old = replace(ENDED, at=NOW - REMEMBERED_FOR)
    assert newer([], [old], NOW) == []
    assert newer([], [replace(old, at=old.at + 1)], NOW) == [replace(old, at=old.at + 1)]


def test_n17_14_who_knows_as_much_as_members_tell_learns_no_more_but_what_changes() -> None:
    ours = [Decision("freeze", f"docker.io/library/{number}:1", "", NOW) for number in range(MAX - 1)]
    ended = replace(ours[0], value=None, at=NOW + 1)
    theirs = [replace(FREEZE, name="docker.io/older:1"), replace(FREEZE, name="docker.io/newer:1", at=NOW + 1), ended]
    assert newer(ours, theirs, NOW) == [ended, theirs[1]]
    assert newer([*ours, PIN, FREEZE], theirs, NOW) == [ended]


@pytest.mark.parametrize("character", ["x", "é", "\N{ROCKET}", "\\"])
def test_n17_14_what_is_told_is_no_longer_than_what_is_read(character: str) -> None:
    names = [f"{number:05}{character * 1019}" for number in range(MAX)]
    many = told((Decision("freeze", name, str(Digest.of(b"", "sha512")), NOW) for name in names), NOW)
    assert many
    assert len(encoded(many)) <= MAX_ENCODED
    assert decoded(encoded(many)) == many


def test_n17_14_what_was_ended_is_told_for_a_while() -> None:
    old = replace(ENDED, at=NOW - REMEMBERED_FOR - 1)
    assert told([FREEZE, replace(PIN, value=None), old], NOW) == [FREEZE, replace(PIN, value=None)]


def test_n17_14_the_newest_are_told_where_there_are_too_many() -> None:
    many = [Decision("freeze", f"docker.io/library/{number}:1", "", number) for number in range(MAX + 5)]
    assert {each.at for each in told(many, NOW)} == set(range(5, MAX + 5))


def test_n17_14_decisions_are_read_as_they_were_written() -> None:
    some = [FREEZE, ENDED, PIN, replace(PIN, value=None), replace(FREEZE, value=DIGEST)]
    assert decoded(encoded(some)) == some


@pytest.mark.parametrize(
    "row",
    [
        5,
        [],
        ["freeze", "docker.io/*", "", 1, 1],
        ["thaw", "docker.io/*", "", 1],
        ["freeze", "", "", 1],
        ["freeze", "a\nb", "", 1],
        ["freeze", 5, "", 1],
        ["freeze", "docker.io/*", 5, 1],
        ["freeze", "docker.io/*", "sha256:00", 1],
        ["freeze", "docker.io/*", "", -1],
        ["freeze", "docker.io/*", "", 1.5],
        ["pin", "docker.io/*", "", 1],
        ["pin", DIGEST, DIGEST, 1],
    ],
)
def test_n17_14_what_is_no_decision_is_refused(row: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- JSON's own is one
        decoded(json.dumps(row).encode() + b"\n")


@pytest.mark.parametrize(
    "body",
    [
        b"x",
        b"{}\n",
        b"\n",
        b"[" * 1000 + b"\n",
        encoded([FREEZE])[:-1],
        encoded([FREEZE]) * (MAX + 1),
        b'["freeze","' + b"a" * 20_000 + b'","",1]\n',
    ],
    ids=["text", "object", "line", "deep", "cut", "many", "long"],
)
def test_n17_14_what_is_no_list_of_them_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- as above
        decoded(body)


@pytest.mark.parametrize("body", [b"[" + b"[]," * 5_000_000 + b"[]]\n", b"[],[]," * 2_500_000 + b"\n", b"\n" * 16_000_000])
def test_n17_14_what_takes_much_memory_to_parse_is_refused(body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError):  # noqa: PT011 -- as above
            decoded(body)
        assert tracemalloc.get_traced_memory()[1] < 40_000_000, "some copies of what came"
    finally:
        tracemalloc.stop()


def test_n17_14_as_many_as_are_told_are_read() -> None:
    assert decoded(b"") == []
    assert len(decoded(encoded([FREEZE]) * MAX)) == MAX
