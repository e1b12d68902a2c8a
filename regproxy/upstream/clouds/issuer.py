"""What a cloud issues, and what asks it for that."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from regproxy import files
from regproxy.policy.credential import Credential
from regproxy.policy.upstream.tokens import is_token
from regproxy.ports import Unavailable, UnexpectedResponse
from regproxy.upstream.clouds.service import CloudAnswer

_MILLISECONDS_FROM = 1e11  # epoch seconds of the year 5138: a larger number is of milliseconds
_MAX_SECONDS = 7 * 86_400.0  # for which anything is good, whatever a service says


class Issued(NamedTuple):
    """A credential, and for how many seconds it is good."""

    credential: Credential
    seconds: float


class Issuer(Protocol):
    """Asks for credentials; nothing is kept or asked twice here."""

    async def issue(self) -> Issued:
        """Ask for a credential; raise `UpstreamError` that says who did not give it, why, and what to do."""

    async def close(self) -> None: ...


def text_of(answer: CloudAnswer, document: object, *path: str) -> str:
    """Return the text at *path* of an answer that can be sent in a header; raise `UnexpectedResponse`."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    if not is_token(document):
        raise UnexpectedResponse(f"{answer.who} answered without {'.'.join(path)} that can be used")
    return document


def seconds_left(answer: CloudAnswer, end: object) -> float:
    """Return for how long something is good whose *end* a service names: by its own clock, which need not be ours.

    The end is in seconds or milliseconds since the epoch, or a time as ISO 8601 has it. Raise `UnexpectedResponse`.
    """
    try:
        moment = _moment(end)
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise UnexpectedResponse(f"{answer.who} does not say when the credential ends")
    if not moment > answer.now:
        raise UnexpectedResponse(f"{answer.who} issued a credential that is over already: check its clock, and ours")
    return min(moment - answer.now, _MAX_SECONDS)


async def token_in(path: Path | None, whose: str) -> str:
    """Read the token in a file, which may be another one each time; raise `Unavailable`."""
    if path is None:
        raise Unavailable(f"there is no file with the token of {whose}")
    try:
        text = (await files.read_bytes(path)).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise Unavailable(f"the token of {whose} cannot be read: {path}: {reason}") from None
    if not is_token(text):
        raise Unavailable(f"the file {path} has no token of {whose} in it")
    return text


def _moment(end: object) -> float | None:
    if isinstance(end, str) and not end.isdecimal():
        found = datetime.fromisoformat(end)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    if not isinstance(end, str | int | float) or isinstance(end, bool):
        return None
    return float(end) / (1000 if float(end) > _MILLISECONDS_FROM else 1)
