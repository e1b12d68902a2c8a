"""A file of users and bcrypt hashes, as Apache's `htpasswd -B` writes it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_HASH = re.compile(rb"\$2[aby]\$(?P<cost>\d\d)\$[./A-Za-z0-9]{53}")
_MIN_COST, _MAX_COST = 4, 14  # 14 takes more than a second: whoever knows a name could make us work for it
_MAX_USERS = 10_000


@dataclass(frozen=True, slots=True)
class Htpasswd:
    """Hashes by user, and what is wrong with lines that do not count, without what they contain."""

    hashes: Mapping[str, bytes]
    complaints: tuple[str, ...] = ()


def parse_htpasswd(text: bytes) -> Htpasswd:
    """Read *text*; a user's first line counts, as for Apache."""
    hashes: dict[str, bytes] = {}
    complaints: list[str] = []
    for number, line in _lines(text):
        user, _, hashed = line.partition(b":")
        reason = _wrong(user, hashed.strip())
        if reason is None and len(hashes) >= _MAX_USERS:
            complaints.append(f"line {number}: more than {_MAX_USERS} users")
            break
        if reason is not None:
            complaints.append(f"line {number}: {reason}")
        else:
            hashes.setdefault(user.decode(), hashed.strip())
    return Htpasswd(hashes, tuple(complaints))


def _lines(text: bytes) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(text.splitlines(), 1):
        if (stripped := line.strip()) and not stripped.startswith(b"#"):
            yield number, stripped


def _wrong(user: bytes, hashed: bytes) -> str | None:
    found = _HASH.fullmatch(hashed)
    if found is None:
        return "no bcrypt hash: htpasswd -B writes one"
    if not _MIN_COST <= int(found["cost"]) <= _MAX_COST:
        return f"the cost of its hash is not from {_MIN_COST} to {_MAX_COST}"
    try:
        return None if user.decode() else "no user"
    except UnicodeDecodeError:
        return "the user is not UTF-8"
