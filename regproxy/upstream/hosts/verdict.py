"""Which failure of several hosts is the upstream's answer."""

from collections.abc import Sequence

from regproxy.policy.routing import Host, Trust
from regproxy.policy.upstream import failover
from regproxy.ports import Answer, InvalidContent, LocalResourceError, Throttled, Unavailable, UpstreamError

_UNTOLD_PAUSE = 60.0  # seconds, where a host that throttles us does not say for how long


def verdict(upstream: str, failures: Sequence[tuple[Host, UpstreamError]]) -> UpstreamError:
    """Choose the failure to report: an answer of a host trusted to resolve, else what all hosts said.

    A client is to come back when the first of them may do better, throttled or out of order.
    """
    if len(failures) == 1:
        return failures[0][1]
    for host, error in failures:
        if _is_answer(host, error):
            return error
    for _, error in failures:
        if isinstance(error, InvalidContent) and not error.unverified:  # by its digest: whoever sent it, that is what it is
            return error
    if all(isinstance(error, InvalidContent) for _, error in failures):
        return failures[0][1]
    error = _outage(upstream, failures)
    error.is_behind_the_end = any(each.is_behind_the_end for _, each in failures)
    return error


def _outage(upstream: str, failures: Sequence[tuple[Host, UpstreamError]]) -> UpstreamError:
    """Make one failure of all."""
    message = f"no host of {upstream} answered: " + "; ".join(str(error) for _, error in failures)
    if any(isinstance(error, Throttled) for _, error in failures):
        return Throttled(message, min(_pause(error) for _, error in failures))
    if any(isinstance(error, LocalResourceError) for _, error in failures):
        return LocalResourceError(message)
    silent = all(isinstance(error, Unavailable) and error.timed_out for _, error in failures)
    answered = all(isinstance(error, Unavailable) and error.answered for _, error in failures)
    return Unavailable(message, timed_out=silent, answered=answered)


def is_answered(failures: Sequence[tuple[Host, UpstreamError]]) -> bool:
    """Report whether a host trusted to resolve said how it is, so that there is no need to ask further ones."""
    return any(_is_answer(host, error) for host, error in failures)


def _is_answer(host: Host, error: UpstreamError) -> bool:
    """Report whether a host trusted to resolve said how it is; what nobody could verify is no word about a digest."""
    is_unverified = isinstance(error, InvalidContent) and error.unverified
    return isinstance(error, Answer) and not is_unverified and Trust.RESOLVE in host.trust


def _pause(error: UpstreamError) -> float:
    """Return after how many seconds it may be worth asking again."""
    if isinstance(error, Throttled):
        return error.retry_after or _UNTOLD_PAUSE
    return failover.BACKOFF_AFTER_FAILURE
