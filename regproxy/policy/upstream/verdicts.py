"""What a status of an upstream means, for the thing that was asked for, for the host that sent it, and for our client (RFC 9110, 15).

A 4xx other than 408 and 429 is an answer about one thing: a registry that refuses one image is as well as ever. So is a response without
content where some was asked for. Only what says that the host itself does not work, or wants to be left alone, counts against it.
"""

from enum import Enum

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NO_CONTENT = frozenset({204, 205, 300, 304, 305, 306}) | REDIRECTS  # a redirect that leads on is followed, and is no final response
# What a client may be told as upstream said it. Not 401 and 407, which ask it for a password; not 408 and 429, which containerd answers
# with six requests at once; not 404, 405 and 416, which say something about our own endpoints; not 426, which needs an Upgrade.
_PASSED = frozenset({400, 402, 403, 406, 409, 410, 412, 413, 414, 415, 422, 423, 424, 431, 451})
# What a HEAD may be answered where a GET is answered well: Nexus says 404, others 400, 403, 405, 406, 500 and 501, ECR Public 401.
HEAD_PROVES_NOTHING = (frozenset(range(400, 600)) - {408, 429, 502, 503, 504, 508}) | {204, 205} | REDIRECTS


class Meaning(Enum):
    """What a status means."""

    SUCCESS = "here it is"
    UNEXPECTED = "that is no answer to what was asked"
    NOT_FOUND = "there is no such thing"
    REFUSED = "it is not for us"
    REJECTED = "this request is answered with no"
    THROTTLED = "leave me alone for a while"
    LOOP = "we are asking ourselves"
    OUTAGE = "the host, or what is in front of it, does not work"


def meaning(status: int) -> Meaning:
    """Read the *status* of a final response."""
    if status in _NO_CONTENT:
        return Meaning.UNEXPECTED
    if status < 300:
        return Meaning.SUCCESS
    match status:
        case 404:
            return Meaning.NOT_FOUND
        case 401 | 403:
            return Meaning.REFUSED
        case 429:
            return Meaning.THROTTLED
        case 508:
            return Meaning.LOOP
        case 407 | 408:  # the proxy on the way wants a user; the request did not arrive in time
            return Meaning.OUTAGE
        case _ if 400 <= status < 500:
            return Meaning.REJECTED
    return Meaning.OUTAGE


def client_status(status: int) -> int:
    """Choose the status that a client gets for a rejection: upstream's own where that is safe, else 400."""
    return status if status in _PASSED else 400


def client_code(status: int, said: str) -> str:
    """Choose the OCI error code: the one upstream *said*, unless it makes a client log in or try again."""
    if said and said not in {"UNAUTHORIZED", "TOOMANYREQUESTS"}:
        return said
    if status in {402, 412, 451}:
        return "DENIED"
    return "UNSUPPORTED" if status in {405, 406, 415} else "UNKNOWN"
