"""Which host is asked next, and which one is left alone for a while."""

from collections.abc import Collection, Sequence

from regproxy.policy.routing import Host, Trust

REST_AFTER_FAILURE = 10.0  # seconds: long enough to spare a dead host, short enough to notice that it is back
REST_AFTER_LIE = 600.0  # wrong bytes are no hiccup


def candidates(hosts: Sequence[Host], need: Trust, resting: Collection[Host] = ()) -> list[Host]:
    """List the hosts that may answer *need*, rested ones first.

    A resting host failed lately. It comes last, not never: when every other host is down too, asking it beats failing the pull.
    """
    able = [host for host in hosts if need in host.trust]
    return sorted(able, key=lambda host: host in resting)
