"""What an upstream and the store may answer instead of what was asked.

UpstreamError            an upstream could not give what was asked
+- NotFound              it has no such thing: an answer, not an outage
+- Refused               it will not give it to us (401, 403): an answer, not an outage
+- Throttled             it wants to be left alone for a while (429)
+- Unavailable           it did not answer, or not in time, or with 5xx
|  +- Overwhelmed        it was not asked: it is we who have no descriptors left
+- Corrupt               it answered, and the answer is wrong
StoreError               the store could not keep or give content
+- Full                  there is no room
+- Gone                  what was left behind is no longer there
"""


class UpstreamError(Exception):
    """An upstream could not give what was asked; the message says which, what and whose fault."""


class NotFound(UpstreamError):
    """It has no such thing."""


class Refused(UpstreamError):
    """It will not give it to us."""

    def __init__(self, message: str, *, whatever_asked: bool = False) -> None:
        """Say whether it would give us nothing else either: who we say we are is wrong."""
        super().__init__(message)
        self.whatever_asked = whatever_asked


class Throttled(UpstreamError):
    """It wants to be left alone."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        """Take the pause it asked for, in seconds."""
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(UpstreamError):
    """It did not answer, or not in time, or with an error of its own."""

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        """Say whether it was silent rather than broken."""
        super().__init__(message)
        self.timed_out = timed_out


class Overwhelmed(Unavailable):
    """It was not asked: we have no descriptors left, or no memory for a connection. That says nothing of the upstream."""


class Corrupt(UpstreamError):
    """What it sent is not what it should be."""


class StoreError(Exception):
    """The store could not keep or give content."""


class Full(StoreError):
    """There is no room for it."""


class Gone(StoreError):
    """What was left behind is no longer there."""
