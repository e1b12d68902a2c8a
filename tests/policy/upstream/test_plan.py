import math
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.policy.store.runs import Runs
from regproxy.policy.upstream.plan import FAST, FIRST, LARGEST, NEXT, ON_DISK, WINDOW, Piece, Plan, Stage, Transfer, is_near

MIB = 1024 * 1024
SIZE = 96 * MIB


def _measured(plan: Plan, *rates: float) -> Plan:
    """Receive at one rate after the other, as long as the plan looks."""
    now = 0.0
    plan.received(1, now)
    for rate in rates:
        stage = plan.stage
        while plan.stage is stage and stage is not Stage.SETTLED:
            now += 0.1
            plan.received(int(rate * 0.1), now)
        plan.received(1, now)
    return plan


def test_a_fast_connection_gets_all_the_rest() -> None:
    plan = _measured(Plan(SIZE, FIRST, most=12), 2 * FAST)
    assert plan.take(front=0, busy=1) == Piece(FIRST, SIZE)
    assert plan.take(front=0, busy=2) is None


def test_a_first_piece_that_is_over_before_anything_could_be_measured_is_fast() -> None:
    plan = Plan(SIZE, FIRST, most=12)
    assert plan.take(front=0, busy=1) is None
    plan.ended(FIRST, 0.01)
    assert plan.take(front=0, busy=0) == Piece(FIRST, SIZE)


WIDTHS = [
    pytest.param([8e6, 8e6], 2, id="nothing gained: as few as can become more"),
    pytest.param([8e6, 16e6], 5, id="some gained: some, more than bring that while they begin"),
    pytest.param([8e6, 60e6], 12, id="the more the faster: all"),
]


@pytest.mark.parametrize(("rates", "width"), WIDTHS)
def test_there_are_more_connections_only_while_throughput_grows(rates: list[float], width: int) -> None:
    plan = _measured(Plan(SIZE, FIRST, most=12), *rates)
    assert (plan.stage, plan.width) == (Stage.SETTLED, width)


@pytest.mark.parametrize(("has_others", "width"), [(True, 9), (False, 12)])
def test_some_connections_are_spared_only_for_other_hosts(*, has_others: bool, width: int) -> None:
    plan = _measured(Plan(SIZE, FIRST, most=12, has_others=has_others), 8e6)
    assert (plan.stage, plan.width) == (Stage.ALL, width)


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [pytest.param(0.1, 0.5, id="near"), pytest.param(0.6, 1.2, id="around the world"), pytest.param(9.0, 2.0, id="slow to answer")],
)
def test_a_look_waits_for_those_who_were_asked_to_answer(answer: float, seconds: float) -> None:
    """Where nothing of theirs had come, most were given up for seconds: 96 MiB took more than twice as long."""
    plan = Plan(SIZE, FIRST, most=12, answer=answer)
    for now, count in ((0.0, 1), (0.1, 800_000), (1.0, 1)):
        plan.received(count, now)
    stages = list[Stage]()
    for now in (0.99 + seconds, 1.01 + seconds):
        plan.received(1, now)
        stages.append(plan.stage)
    assert stages == [Stage.ALL, Stage.SETTLED]


def test_where_there_are_no_parts_all_the_rest_comes_over_one_connection() -> None:
    plan = _measured(Plan(SIZE, FIRST, most=12), 8e6, 60e6)
    plan.go_alone()
    plan.received(1, 100.0)
    plan.received(1, 200.0)
    assert plan.take(front=FIRST, busy=2) is None
    assert plan.take(front=FIRST, busy=1) == Piece(FIRST, SIZE)


def test_one_piece_at_a_time_is_a_large_one() -> None:
    plan = _measured(Plan(SIZE, FIRST, most=12), 8e6, 60e6)
    plan.is_alone = True
    assert plan.take(front=FIRST, busy=1) is None
    assert plan.take(front=FIRST, busy=0) == Piece(FIRST, FIRST + LARGEST)
    plan.offset = SIZE - MIB
    assert plan.take(front=FIRST, busy=0) == Piece(SIZE - MIB, SIZE)


def test_one_piece_at_a_time_says_nothing_of_how_many_connections_help() -> None:
    """Or who reads all later would find a plan that has given up more connections for minutes."""
    plan = _measured(Plan(SIZE, FIRST, most=12), 8e6)
    before, plan.is_alone = (plan.stage, plan.width), True
    for second in range(100, 200):
        plan.received(8 * MIB, float(second))
    assert (plan.stage, plan.width) == before == (Stage.ALL, 9)
    plan.is_alone = False
    plan.received(1, 200.0)
    plan.received(30 * MIB, 200.5)
    assert (plan.stage, plan.width) == (Stage.SETTLED, 12)


def test_more_connections_are_tried_again_after_a_while() -> None:
    """On a busy machine half a second may tell nothing."""
    plan = _measured(Plan(SIZE, FIRST, most=12), 8e6, 8e6)
    now = 100.0
    plan.received(1, now)
    plan.received(32_000_000, now + 4.0)
    assert (plan.stage, plan.width) == (Stage.AGAIN, 12)
    plan.received(1, now + 4.0)
    plan.received(30_000_000, now + 4.6)
    assert (plan.stage, plan.width) == (Stage.SETTLED, 12)


@pytest.mark.parametrize(("size", "most"), [(FIRST + MIB, 12), (SIZE, 1)], ids=["little left", "told not to"])
def test_more_connections_are_not_tried_where_they_are_not_worth_it(size: int, most: int) -> None:
    assert _measured(Plan(size, FIRST, most=most), 1e6).width == 1


@pytest.mark.parametrize(
    ("size", "window"), [(1024 * MIB, WINDOW), (96 * MIB, 12 * MIB), (20 * MIB, 2 * FIRST)], ids=["large", "an eighth of it", "small"]
)
def test_nothing_is_asked_for_beyond_the_window(size: int, window: int) -> None:
    """What is ahead of the disk is in memory, and lost where we are killed."""
    plan = _measured(Plan(size, FIRST, most=12), 8e6, 60e6)
    taken = [piece for _ in range(100) if (piece := plan.take(front=MIB, busy=0))]
    assert MIB + window - window // 12 < taken[-1].stop <= MIB + window


STEPS = st.lists(st.tuples(st.integers(0, 4 * MIB), st.floats(0, 1), st.booleans()), max_size=400)


PARTS = st.lists(st.tuples(st.integers(0, 200 * MIB), st.integers(1, 8 * MIB)), max_size=8)


@given(st.integers(0, 200 * MIB), st.integers(0, FIRST), st.integers(1, 64), STEPS, PARTS)
def test_every_plan_covers_the_blob_exactly_once(
    size: int, offset: int, most: int, steps: list[tuple[int, float, bool]], parts: list[tuple[int, int]]
) -> None:
    """Whatever the rates were, and in whatever order pieces end: what was handed out is whole and without overlaps."""
    offset = min(offset, size)
    elsewhere = Runs((start, start + length) for start, length in parts)

    def part(start: int) -> Piece | None:
        begin = start if elsewhere.reach(start) > start else elsewhere.following(start)
        return None if begin is None else Piece(begin, elsewhere.reach(begin), is_here=True)

    plan, now, pieces, busy = Plan(size, offset, most), 0.0, list[Piece](), list[Piece]()
    for count, seconds, ends in steps:
        now += seconds
        plan.received(count, now)
        if ends and busy:
            ended = busy.pop(count % len(busy))
            plan.ended(ended.stop - ended.start, seconds)
        front = min((piece.start for piece in busy), default=plan.offset)
        while piece := plan.take(front, len(busy), part(plan.offset)):
            pieces.append(piece)
            if not piece.is_here:
                busy.append(piece)
            assert len(busy) <= max(plan.width, 2)
    plan.ended(FIRST, 0.0)
    while piece := plan.take(plan.offset, 0, part(plan.offset)):
        pieces.append(piece)
    assert [piece.start for piece in pieces] == [offset, *(piece.stop for piece in pieces[:-1])][: len(pieces)]
    assert (pieces[-1].stop if pieces else offset) == size
    for piece in pieces:
        assert elsewhere.gaps(piece.start, piece.stop) == ([] if piece.is_here else [(piece.start, piece.stop)])


@pytest.mark.parametrize("first", [FIRST, SIZE], ids=["far", "near"])
def test_a_first_piece_that_is_not_on_its_way_is_handed_out(first: int) -> None:
    plan = Plan(SIZE, 0, most=12, first=first)
    assert plan.take(0, 0, Piece(0, MIB, is_here=True)) == Piece(0, MIB, is_here=True)
    assert plan.take(0, 0, Piece(SIZE - MIB, SIZE, is_here=True)) == Piece(MIB, min(MIB + first, SIZE - MIB))
    assert plan.take(0, 1) is None or first == SIZE


def test_a_first_piece_that_a_part_cut_short_tells_nothing() -> None:
    plan = Plan(SIZE, 1000, most=12)
    plan.ended(1000, seconds=0.001)
    assert (plan.stage, plan.take(1000, 0)) == (Stage.FIRST, Piece(1000, 1000 + FIRST))


def test_one_connection_goes_around_many_parts() -> None:
    plan = _measured(Plan(SIZE, FIRST, most=12), 2 * FAST)
    assert plan.take(0, 1, Piece(2 * FIRST, 3 * FIRST)) == Piece(FIRST, 2 * FIRST)
    assert plan.take(0, 2, Piece(2 * FIRST, 3 * FIRST)) == Piece(2 * FIRST, 3 * FIRST, is_here=True)
    assert plan.take(0, 2) is None, "not more than one beside the first"
    assert plan.take(0, 1) == Piece(3 * FIRST, SIZE)


def test_a_plan_knows_how_fast_it_goes() -> None:
    plan = Plan(SIZE, FIRST, most=12)
    assert plan.rate(0.0) == 0.0
    assert plan.soon(0.0) == NEXT
    assert _measured(plan, 8e6).rate(100.0) == pytest.approx(8e6, rel=0.3)
    assert plan.soon(100.0) == plan.rate(100.0) / 10


def test_a_piece_is_late_when_it_takes_several_times_as_long_as_others() -> None:
    plan = _measured(Plan(SIZE, FIRST, most=12), 8e6)
    assert plan.due(began=100.0, size=MIB) is None, "there are no others yet"
    plan.ended(MIB, seconds=0.5)
    assert plan.due(began=100.0, size=MIB) == pytest.approx(102.5)
    assert plan.due(began=100.0, size=MIB // 2) == pytest.approx(101.75), "less of it is due sooner"
    assert plan.due(began=100.0, size=LARGEST + 1) is None, "all the rest is no piece among others"


def test_where_all_pieces_slow_down_none_is_late_for_long() -> None:
    """What is usual follows: a line that everybody shares is no reason to ask anew."""
    plan = _measured(Plan(SIZE, FIRST, most=12), 8e6)
    plan.ended(MIB, seconds=0.1)
    for _ in range(10):
        plan.ended(MIB, seconds=5.0)
    due = plan.due(began=0.0, size=MIB)
    assert due is not None
    assert due > 5.0


SLOW = Transfer(received=MIB // 8, seconds=1.0, silent=0.1)
BESIDE = [
    pytest.param([], 2.5, id="none: as usual"),
    pytest.param([SLOW, SLOW], 25.0, id="as slow as the others"),
    pytest.param([SLOW, Transfer(MIB, 1.0, 0.1)], 1 + 3 * 16 / 9, id="slower than one of the others"),
    pytest.param([Transfer(8 * MIB, 1.0, 0.1)], 2.5, id="others are faster than usual"),
    pytest.param([Transfer(MIB // 8, 1.0, 1.1)], 2.5, id="others are silent, and may be dead"),
    pytest.param([SLOW, Transfer(0, 2.0, 2.0)], 25.0, id="some are silent"),
    pytest.param([Transfer(MIB, 8.0, 2.0)], 25.0, id="others come now and then"),
    pytest.param([Transfer(0, 0.0, 0.0)], 2.5, id="another one has just begun"),
]


@pytest.mark.parametrize(("beside", "due"), BESIDE)
def test_n13_24_the_only_host_is_not_late_with_what_comes_as_fast_as_the_rest(beside: list[Transfer], due: float) -> None:
    plan = _measured(Plan(SIZE, FIRST, most=12, has_others=False), 8e6)
    plan.ended(MIB, seconds=0.5)
    assert plan.due(began=0.0, size=MIB, beside=beside) == pytest.approx(due)


def test_another_host_may_do_better_than_all_that_comes() -> None:
    plan = _measured(Plan(SIZE, FIRST, most=12, has_others=True), 8e6)
    plan.ended(MIB, seconds=0.5)
    assert plan.due(began=0.0, size=MIB, beside=[SLOW, SLOW]) == pytest.approx(2.5)


@pytest.mark.parametrize(("received", "seconds", "width"), [(1000, 0.9, 0), (1000, 1.0, 9), (300_000, 0.06, 9)])
def test_a_trickle_is_noticed_however_little_came(received: int, seconds: float, width: int) -> None:
    plan = Plan(SIZE, FIRST, most=12)
    plan.received(1, 0.0)
    plan.received(received, seconds)
    assert plan.width == width


@pytest.mark.parametrize(
    ("first_byte", "rate", "near"),
    [
        pytest.param(None, None, False, id="unknown"),
        pytest.param(0.004, None, False, id="answers at once, nobody knows how fast it is"),
        pytest.param(0.004, 2.0 * FAST, True, id="answers at once, fast"),
        pytest.param(0.004, FAST / 4, False, id="answers at once, slow"),
        pytest.param(0.2, 2.0 * FAST, False, id="far"),
    ],
)
def test_all_is_asked_for_at_once_only_where_a_host_is_known_to_be_near(first_byte: float | None, rate: float | None, near: bool) -> None:
    assert is_near(first_byte, rate) == near


@dataclass
class Sent:
    """A blob sent as its plan says: in so many seconds, by so many requests, with at most so many bytes ahead of their turn."""

    seconds: float = 0.0
    requests: int = 1
    ahead: int = 0


def _sent(
    size: int, most: int, *, line: float = math.inf, connection: float = math.inf, is_on_disk: bool = False, latency: float = 0.2
) -> Sent:
    """Send it over a *line* that all connections share, none of them faster than *connection*, in bytes per second."""
    plan, sent, done = Plan(size, FIRST, most, is_on_disk=is_on_disk, answer=latency), Sent(), dict[int, int]()
    busy, at, began = [Piece(0, FIRST)], {0: 0}, {0: 0.0}
    step, front = 0.05, 0
    while busy:
        sending = [piece for piece in busy if began[piece.start] + latency <= sent.seconds]
        rate = min(connection, line / max(len(sending), 1))
        sent.seconds += step
        for piece in sending:
            count = min(int(rate * step), piece.stop - at[piece.start])
            at[piece.start] += count
            plan.received(count, sent.seconds)
        for piece in [piece for piece in busy if at[piece.start] == piece.stop]:
            busy.remove(piece)
            done[piece.start] = piece.stop
            plan.ended(piece.stop - piece.start, sent.seconds - began[piece.start])
        while front in done:
            front = done[front]
        reached = at.get(front, front)
        while (taken := plan.take(reached, len(busy), coming=sum(piece.stop - at[piece.start] for piece in busy))) is not None:
            busy.append(taken)
            at[taken.start], began[taken.start] = taken.start, sent.seconds
            sent.requests += 1
        if plan.width > 1:
            sent.ahead = max(sent.ahead, plan.offset - reached)
    return sent


def test_n13_24_a_line_that_all_share_takes_fewer_and_larger_pieces() -> None:
    """It was 374 requests."""
    sent = _sent(500 * MIB, 12, line=4e6)
    assert sent.requests < 160
    assert sent.ahead <= WINDOW
    assert sent.seconds < 1.15 * 500 * MIB / 4e6


def test_n13_24_a_layer_over_a_line_that_all_share_is_few_requests() -> None:
    """It was 92."""
    assert _sent(70 * MIB, 12, line=4e6).requests < 50


def test_n13_24_a_far_host_is_still_asked_over_all_connections() -> None:
    for size in (500 * MIB, 70 * MIB):
        sent = _sent(size, 12, connection=1e6)
        assert sent.seconds < size / 1e6 / 4
        assert sent.ahead <= min(WINDOW, size // 8)


@pytest.mark.parametrize(("size", "times"), [(96 * MIB, 5.5), (256 * MIB, 7.5), (1024 * MIB, 9)], ids=["96 MiB", "256 MiB", "1 GiB"])
def test_what_waits_on_the_disk_comes_over_a_far_line_in_large_pieces(size: int, times: float) -> None:
    """With pieces of a twelfth of 16 MiB connections wait for answers for more than half of the time."""
    sent = _sent(size, 12, connection=8e6, is_on_disk=True)
    assert sent.seconds < size / 8e6 / times
    assert sent.requests < size / (8 * MIB) + 15, "it was 18 more: the last ones were the short ones"


def test_a_host_around_the_world_is_asked_over_many_connections() -> None:
    """It took 8.5 s when a look was over before those who were asked had brought anything."""
    assert _sent(96 * MIB, 12, connection=8e6, is_on_disk=True, latency=0.5).seconds < 5.0


def test_pieces_are_the_larger_the_further_ahead_they_are() -> None:
    """On a line that all connections share, those that come next are short, and come first."""
    plan = _measured(Plan(1024 * MIB, FIRST, most=12, is_on_disk=True), 4e6)
    pieces = [piece for busy in range(1, 12) if (piece := plan.take(FIRST, busy))]
    lengths = [piece.stop - piece.start for piece in pieces]
    assert lengths[:4] == [WINDOW // 12] * 4
    assert lengths == sorted(lengths)
    assert lengths[-1] == pytest.approx((pieces[-1].start - FIRST) / 4, abs=1)
    while piece := plan.take(plan.offset - 16 * FIRST, 0):
        pieces.append(piece)
    assert max(piece.stop - piece.start for piece in pieces) == LARGEST
    assert pieces[-2].stop - pieces[-2].start == WINDOW // 12, "the last ones are short again"


def test_a_piece_is_no_more_than_its_share_of_all_that_is_to_come() -> None:
    """So that all connections end at the same time; a share of what is not asked for yet was less than a request is worth."""
    plan = _measured(Plan(SIZE, FIRST, most=12, is_on_disk=True), 8e6, 60e6)
    plan.offset = SIZE - 6 * MIB
    assert plan.take(0, 11, coming=24 * MIB) == Piece(SIZE - 6 * MIB, SIZE - 6 * MIB + 30 * MIB // 12)
    assert plan.take(0, 11, coming=0) == Piece(SIZE - 3 * MIB - MIB // 2, SIZE - 2 * MIB - MIB // 2), "but not less than a small one"


def test_the_window_shrinks_where_the_disk_takes_nothing_any_more() -> None:
    plan = _measured(Plan(1024 * MIB, FIRST, most=12, is_on_disk=True), 8e6, 60e6)
    while plan.take(0, 0) is not None:
        pass
    assert ON_DISK - LARGEST < (reached := plan.offset) <= ON_DISK
    plan.is_on_disk = False
    assert plan.take(reached - WINDOW, 0) is None
    assert plan.take(reached, 0) == Piece(reached, reached + WINDOW // 12)


def test_n13_24_more_connections_are_tried_ever_less_often() -> None:
    plan, now, tries = Plan(10_000 * MIB, FIRST, most=12), 0.0, list[float]()
    while now < 400.0:
        before = plan.stage
        plan.received(400_000, now)
        if plan.stage is Stage.AGAIN and before is Stage.SETTLED:
            tries.append(now)
        now += 0.1
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert len(tries) == 4, "after 4, 16, 64 and 256 s"
    assert gaps == sorted(gaps)


def test_the_time_in_which_we_did_not_want_to_receive_is_not_counted() -> None:
    plan, busy = Plan(SIZE, FIRST, most=12), Plan(SIZE, FIRST, most=12)
    for each, waited in ((plan, 0.0), (busy, 60.0)):
        each.received(1, 0.0)
        each.waited(waited)
        each.received(int(2 * FAST), waited + 1.0)
    assert (busy.stage, busy.width) == (plan.stage, plan.width)


def test_nothing_is_counted_before_the_first_byte() -> None:
    plan = Plan(SIZE, FIRST, most=12)
    plan.waited(60.0)
    assert plan.stage is Stage.FIRST
