"""How a blob is fetched: in one stream, or in pieces over several connections where that is faster.

From a host known to be near and fast all of it is asked for at once. Else the first piece is small and asked for by range, so that its
answer tells the size of the whole and whether ranges are honoured. Its speed decides: a fast connection gets the rest in one request, a
slow one is joined by the others for a moment, and then by as many as they bring more. Pieces are handed out from the front, none further
ahead than a window, so that what has to wait for its turn fits in memory. Where it waits on the disk, pieces are the larger the further
ahead they are, so that the time from a request to its answer matters little, and yet the next bytes come first on a line that all
connections share. Parts that clients wait for are fetched ahead of their turn, by others: the plan goes around them.

Registries count requests: where more connections do not help, pieces grow to what a window has room for, and more are tried ever less
often.

Everybody waits for the piece at the front. When it takes several times as long as pieces usually do, somebody else is asked for its rest.
What is on its way from who sent it before is lost. So the only host is asked anew for nothing that comes as fast as what it sends beside
it: where all connections share a line, each of them is slower than one alone was.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

FIRST = 4 * 1024 * 1024  # most blobs are smaller than this, and done after one request
WINDOW = 16 * 1024 * 1024  # bytes between what is on disk and what may be asked for; of a smaller blob an eighth
LARGEST = 2 * FIRST  # bytes of a piece of several
ON_DISK = 24 * LARGEST  # as WINDOW, where what is ahead of its turn waits on the disk
_AHEAD = 4  # times its length that a piece is ahead, if it is longer than others
WORTHWHILE = 8 * 1024 * 1024  # bytes to go; for less, connections are not worth opening
NEAR = 0.05  # seconds to an answer: at this distance a connection's window is no limit
FAST = 32 * 1024 * 1024  # bytes per second of one connection: it is not distance that limits it
NEXT = 64 * 1024  # bytes that come in order as soon as by themselves
_SOON = 0.1  # seconds: so do those that come within
_FIRST_LOOK = 0.05, 256 * 1024  # seconds and bytes after which a rate means something
LOOK = 0.5  # seconds between two looks: a few round trips around the world
_ANSWERS = 2  # looks are no shorter than so many first answers take: a connection that was opened for one brings nothing before
_LONGEST_LOOK = 2.0  # seconds; an answer that takes longer than half of that is not from afar, but slow
_SETTLED_LOOK = 4.0  # seconds until more connections are tried again: what kept them from helping may have been a hiccup of ours
_LONGER = 4.0  # times as long each time that they did not help, and so it goes for a blob that comes over a line all its senders share
_FEWEST = 2  # connections where one was slow; one alone would be given all the rest, for good
_LONG_LOOK = 1.0  # seconds after which a rate means something however little came
_LATE = 3.0  # times as long as usual; a new connection makes up for the wait in a fraction of it
_GRACE = 1.0  # seconds: less is a hiccup
_NEWEST = 0.3  # what the newest piece weighs in what is usual
_GROWTH = 1.15  # connections that add less than this are not worth it
_SLACK = 4.0  # connections for each that a trial was worth: those that are tried spend most of it waiting for their first answers


def is_near(first_byte: float | None, rate: float | None) -> bool:
    """Judge by the measurements of a host; one without any is taken to be far, and to answer at once is not to be fast."""
    return first_byte is not None and first_byte < NEAR and rate is not None and rate >= FAST


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes *start* to *stop* of a blob, stop excluded; *is_here* where they are, or come by themselves."""

    start: int
    stop: int
    is_here: bool = False


@dataclass(frozen=True, slots=True)
class Transfer:
    """Bytes *received* of a piece from its present host in so many *seconds*; *silent* seconds ago came the last of them."""

    received: int
    seconds: float
    silent: float


class Stage(Enum):
    """How far the plan has come in finding out how many connections help."""

    FIRST = "the first piece tells how fast one connection is"
    ALL = "all are tried, or most: then the others find out whether another host is better, once this one is known"
    AGAIN = "all are tried once more"
    SETTLED = "what was best stays, for a while"


@dataclass(slots=True)
class Meter:
    """Bytes per second since the first of them."""

    began: float | None = None
    received: int = 0

    def add(self, count: int, now: float) -> None:
        if self.began is None:
            self.began = now  # what comes with the first look took its time before it
        else:
            self.received += count

    def tells(self, stage: Stage, now: float, look: float) -> bool:
        elapsed = now - self.began if self.began is not None else 0.0
        seconds, enough = _FIRST_LOOK
        if stage is Stage.FIRST:
            return elapsed >= _LONG_LOOK or (elapsed >= seconds and self.received >= enough)
        return elapsed >= look

    def rate(self, now: float) -> float:
        return self.received / max(now - self.began, 1e-6) if self.began is not None else 0.0


@dataclass(slots=True)
class Plan:
    """The rest of a blob, from *offset* on, each byte handed out once."""

    size: int
    offset: int
    most: int  # connections
    first: int = 0  # bytes of the first piece, if that is not on its way
    is_on_disk: bool = False  # whether what is ahead of its turn waits there
    is_alone: bool = False  # whether only one of several pieces is to be under way, because nobody reads all
    answer: float = 0.0  # seconds that the first one took
    has_others: bool = True  # whether there are other hosts that may send it now
    width: int = 0  # connections wanted; 0 before anything is known
    stage: Stage = Stage.FIRST
    _meter: Meter = field(default_factory=Meter)
    _rate: float = 0.0  # at the stage before
    _narrower: int = 1  # connections at the stage before
    _usual: float | None = None  # bytes per second of one piece
    _settled_look: float = _SETTLED_LOOK

    @property
    def is_exhausted(self) -> bool:
        return self.offset >= self.size

    @property
    def window(self) -> int:
        return max(2 * FIRST, min(ON_DISK, self.size)) if self.is_on_disk else self._in_memory

    @property
    def _in_memory(self) -> int:
        """So much is lost, and fetched again, where we are killed; room for others beside a silent first piece there must be."""
        return max(2 * FIRST, min(WINDOW, self.size // 8))

    def take(self, front: int, busy: int, part: Piece | None = None, *, coming: int = 0) -> Piece | None:
        """Hand out the next piece, if there is one to be fetched now.

        *front* bytes are on disk, and *busy* pieces are under way, of which so many bytes are still *coming*.
        *part* is the next part that is here, or comes by itself.
        """
        if self.is_exhausted:
            return None
        if part is not None and part.start <= self.offset:
            piece = Piece(self.offset, min(part.stop, self.size), is_here=True)
        elif (stop := self._stop(front, busy, coming)) is not None:
            piece = Piece(self.offset, stop if part is None else min(stop, part.start))
            self.first = 0
        else:
            return None
        self.offset = piece.stop
        return piece

    def _stop(self, front: int, busy: int, coming: int) -> int | None:
        """Return where the next piece ends; None where there is to be none now."""
        if not self.width:
            return min(self.offset + self.first, self.size) if self.first else None
        if self.width == 1:
            return self.size if busy <= 1 else None
        if self.is_alone:
            return None if busy else min(self.offset + LARGEST, self.size)
        stop = min(self.offset + self._length(front, coming), self.size)
        return stop if busy < self.width and stop <= front + self.window else None

    def _length(self, front: int, coming: int) -> int:
        """Return how many bytes the next of several pieces has: at most a share of all that is to come, so that all end together."""
        small = self._in_memory // self._parts
        if not self.is_on_disk:
            return small
        share = (self.size - self.offset + coming) // self.most
        return max(small, min((self.offset - front) // _AHEAD, share, LARGEST))

    @property
    def _parts(self) -> int:
        """Divide the window by this: the fewer connections, the larger their pieces, with room left for more connections to be tried."""
        return min(self.width + max(self.width // 2, 2), self.most) if self.stage is Stage.SETTLED else self.most

    def received(self, count: int, now: float) -> None:
        """Record that bytes came, and see whether it is time to change the width: one piece at a time says nothing of several."""
        if self.is_alone:
            self._meter = Meter()
            return
        self._meter.add(count, now)
        if not self._meter.tells(self.stage, now, self._look):
            return
        rate = self._meter.rate(now)
        match self.stage:
            case Stage.FIRST:
                is_worthwhile = self.most > 1 and rate < FAST and self.size - self.offset >= WORTHWHILE
                tried = -(-self.most * 3 // 4) if self.has_others else self.most
                self._go(Stage.ALL if is_worthwhile else Stage.SETTLED, tried if is_worthwhile else 1)
            case Stage.ALL:
                worth = 1 + round(_SLACK * (rate / max(self._rate, 1.0) - 1))
                self._go(Stage.SETTLED, max(min(worth, self.most), _FEWEST))
            case Stage.AGAIN:
                grew = rate >= _GROWTH * self._rate
                self._settled_look = _SETTLED_LOOK if grew else self._settled_look * _LONGER
                self._go(Stage.SETTLED, self.most if grew else self._narrower)
            case Stage.SETTLED if 1 < self.width < self.most:
                self._go(Stage.AGAIN, self.most)
        self._rate = rate
        self._meter = Meter()

    @property
    def _look(self) -> float:
        return self._settled_look if self.stage is Stage.SETTLED else max(LOOK, min(_ANSWERS * self.answer, _LONGEST_LOOK))

    def rate(self, now: float) -> float:
        """Return how many bytes per second come, as far as that is known."""
        return max(self._meter.rate(now), self._rate)

    def soon(self, now: float) -> float:
        """Return how many bytes come in order while a client hardly notices."""
        return max(_SOON * self.rate(now), NEXT)

    def go_alone(self) -> None:
        """Fetch the rest over one connection: there are no parts to be had."""
        self._go(Stage.SETTLED, 1)

    def waited(self, seconds: float) -> None:
        """Record that we received nothing for so long because we did not want to."""
        if self._meter.began is not None:
            self._meter.began += seconds

    def ended(self, count: int, seconds: float) -> None:
        """Record that a piece is whole, its last *count* bytes from one host in so many seconds.

        A first piece that came too quickly to tell anything is fast: one connection does. One that was cut short by a part tells nothing.
        """
        rate = count / max(seconds, 1e-6)
        self._usual = rate if self._usual is None else self._usual + _NEWEST * (rate - self._usual)
        if self.stage is Stage.FIRST and count < _FIRST_LOOK[1]:
            self.first = FIRST
        elif self.stage is Stage.FIRST:
            self._go(Stage.SETTLED, 1)

    def due(self, began: float, size: int, beside: Sequence[Transfer] = ()) -> float | None:
        """Return when a piece of *size* bytes whose first byte came then is late; None where there is nothing to compare it with.

        From the only host, no more is expected of it than of those *beside* it. All the rest in one piece is no piece among others.
        """
        if not self._usual or size > LARGEST:
            return None
        rate = 0.0 if self.has_others else _mean_rate(beside)
        return began + _GRACE + _LATE * size / min(self._usual, rate or self._usual)

    def _go(self, stage: Stage, width: int) -> None:
        self._narrower = max(self.width, _FEWEST)
        self.stage, self.width = stage, width


def _mean_rate(transfers: Sequence[Transfer]) -> float:
    """Return how many bytes per second come of each; those that are silent tell nothing, as their connections may be dead."""
    moving = [each for each in transfers if each.silent < max(_GRACE, each.seconds / _LATE)]
    return sum(each.received for each in moving) / max(sum(each.seconds for each in moving), 1e-6)
