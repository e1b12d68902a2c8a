"""What an upstream and the store may answer instead of what was asked.

UpstreamError            an upstream could not give what was asked
+- Answer                it answered about the one thing that was asked: not an outage, and nothing against the host
|  +- NotFound           it has no such thing (404)
|  +- Refused            it will not give it to us (401, 403)
|  +- Rejected           it answered with another 4xx
|  +- InvalidContent     it has it, and no client should be given it: its author's fault
+- Throttled             it wants to be left alone for a while (429)
+- Unavailable           it did not answer, or not in time, or with 5xx
|  +- LocalResourceError        it was not asked: it is we who have no descriptors left
|  +- UnexpectedResponse it answered, but with something else than what was asked for: nothing against the host, and no answer either
+- Corrupt               the bytes it sent do not match their digest
StoreError               the store could not keep or give content
+- Full                  there is no room
|  +- Oversized          it is more than all there is room for
+- Gone                  what was left behind is no longer there
+- TooLong               what is there is longer than anything of its kind
"""

import copy
from typing import TypeVar


class UpstreamError(Exception):
    """An upstream could not give what was asked; the message says which, what and whose fault."""

    origin: str | None = None  # who it was that failed, where a host had redirected us there; None: the host itself
    is_behind_the_end = False  # whether a host said that a blob has nothing from where it was to go on


class Answer(UpstreamError):
    """An answer about one reference. Nothing older is served instead, and it is no evidence about anything else at the host."""


class NotFound(Answer):
    """It has no such thing."""

    def __init__(self, message: str, *, is_repository: bool = False) -> None:
        """Report whether there is no such repository, or none that we are shown."""
        super().__init__(message)
        self.is_repository = is_repository


class Refused(Answer):
    """It will not give it to us."""

    def __init__(self, message: str, *, whatever_asked: bool = False) -> None:
        """Report whether our credentials were refused as such, and so for everything else too."""
        super().__init__(message)
        self.whatever_asked = whatever_asked


class Rejected(Answer):
    """It answered with a 4xx that is not 401, 403, 404, 408 or 429."""

    def __init__(self, message: str, status: int = 400, code: str = "UNKNOWN") -> None:
        """Carry the *status* and the OCI error *code* for the client."""
        super().__init__(message)
        self.status = status
        self.code = code


class InvalidContent(Answer):
    """It has it, as its author made it, and no client should be given it."""

    def __init__(self, message: str, *, unverified: bool = False) -> None:
        """Report whether it was too large to be verified: another host may have what matches its digest."""
        super().__init__(message)
        self.unverified = unverified


class Throttled(UpstreamError):
    """It wants to be left alone."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        """Carry the pause it asked for as *retry_after*, in seconds."""
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(UpstreamError):
    """It did not answer, or not in time, or with an error of its own."""

    def __init__(self, message: str, *, timed_out: bool = False, answered: bool = False) -> None:
        """Report whether it was silent rather than broken, or whether it *answered*, with an error of its own (5xx) or none of the part."""
        super().__init__(message)
        self.timed_out = timed_out
        self.answered = answered


class LocalResourceError(Unavailable):
    """It was not asked: we have no descriptors left, or no memory for a connection. That is no evidence about the upstream."""


class UnexpectedResponse(Unavailable):
    """It answered with something else than what was asked for, such as a web page: that is no answer, but the host works."""


class Corrupt(UpstreamError):
    """The bytes it sent do not match their digest."""


class StoreError(Exception):
    """The store could not keep or give content."""


class Full(StoreError):
    """There is no room for it."""


class Oversized(Full):
    """It is more than the store could hold if it were empty: that is no trouble of the store."""


class Gone(StoreError):
    """What was left behind is no longer there."""


class TooLong(StoreError):
    """What is there is longer than anything of its kind: an answer, and no trouble of the store."""


Failure = TypeVar("Failure", bound=Exception)


def detached(error: Failure) -> Failure:
    """Copy an *error* without its traceback and cause, to be kept or raised again.

    They keep the frames that it passed through, and with them requests, connections and bodies. Where one of these frames keeps the error,
    that is a cycle, and all of it stays until the garbage collector looks at everything.
    """
    return copy.copy(error)
