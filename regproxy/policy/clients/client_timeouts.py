"""How long a client is waited for: for its request, for the next one, and for it to take what it asked for."""

from dataclasses import dataclass

_LOOKS = 4  # at a client's progress, in the time it may go without


@dataclass(frozen=True, slots=True)
class ClientTimeouts:
    """Limits in seconds, and how many connections there may be."""

    head: float = 10.0  # from the connection, or from the first byte of a later request, to the end of its head
    idle: float = 75.0  # Go's clients give up idle connections after 30, and the side that waits longer never closes under a request
    progress: float = 60.0  # without taking a byte of what was sent: a client that is slow takes some
    connections: int = 100_000
    client_connections: int = 100_000  # of them, of one client

    @property
    def look(self) -> float:
        """The seconds between two looks at a client's progress."""
        return self.progress / _LOOKS


@dataclass(slots=True)
class SendProgress:
    """How far a client has got, and since when it has not gone further."""

    since: float
    taken: int = 0

    def stuck_for(self, now: float, taken: int, waiting: int) -> float:
        """Record that *taken* bytes have arrived in all and *waiting* have not; return for how long nothing has moved."""
        if taken != self.taken or waiting == 0:
            self.taken, self.since = taken, now
        return now - self.since
