"""The headers of a tar: POSIX.1-1988 (ustar), POSIX.1-2001 (pax), and the long names of GNU tar.

A tar is hostile until it was read. What an image needs are files by plain names; devices, sparse files, names that lead elsewhere and names
that are there twice are refused, and nothing in a header decides how much memory it takes. Links are described and never followed here.
"""

import posixpath
from collections.abc import Callable
from dataclasses import dataclass

BLOCK = 512

_MAX_HEADERS = 50_000
_MAX_EXTENSION = 64 * 1024  # bytes of a header that only describes the next one
_MAX_EXTENSION_BYTES = 32 * 1024 * 1024  # of all such headers of one tar: 1 KiB for each of half of its headers, and some more
_MAX_RECORDS = 200_000  # of pax, in one tar
_MAX_NAME = 512  # bytes; a blob by sha512 has 141
_MAX_SIZE = 2**53
_FILES = frozenset({b"0", b"\0", b"7"})
_KINDS = {b"3": "a device", b"4": "a device", b"6": "a pipe", b"S": "a sparse file", b"M": "a part of a file"}


class InvalidTar(ValueError):
    """It is no tar, or holds what no image needs; the message goes on after the name of the tar."""


@dataclass(frozen=True, slots=True)
class Member:
    """Where the bytes of a file begin and how many there are, or what a link leads to."""

    offset: int
    size: int
    link: str | None = None


class _ExtensionBudget:
    """What the headers of one tar that only describe others may cost; raises `InvalidTar` where it is used up."""

    def __init__(self) -> None:
        self._bytes = _MAX_EXTENSION_BYTES
        self._records = _MAX_RECORDS

    def take_bytes(self, count: int) -> None:
        self._bytes -= count
        if self._bytes < 0:
            raise InvalidTar(f"has more than {_MAX_EXTENSION_BYTES} bytes of extended headers")

    def take_record(self) -> None:
        self._records -= 1
        if self._records < 0:
            raise InvalidTar(f"has more than {_MAX_RECORDS} records in extended headers")


def read_members(read: Callable[[int, int], bytes], end: int) -> dict[str, Member]:
    """List files and links by name; raise `InvalidTar`.

    *read* gives a number of bytes from an offset on, of the *end* bytes that there are.
    """
    members: dict[str, Member] = {}
    extended: dict[str, str] = {}
    budget = _ExtensionBudget()
    offset = 0
    for _ in range(_MAX_HEADERS):
        block = read(offset, BLOCK)
        if len(block) < BLOCK and (block or not offset):
            raise InvalidTar("is only a part of a tar" if offset else "is no tar")
        if not any(block):
            return members
        _check_sum(block)
        kind, size = block[156:157], _number(block[124:136])
        if kind in {b"x", b"g", b"L", b"K"}:
            budget.take_bytes(size)
            body = _extension(read, offset, size)
            extended |= _extended(kind, body, budget)
            offset += BLOCK + _padded(size)
            continue
        name, link = extended.get("path") or _name(block), extended.get("linkpath") or _text(block[157:257])
        size = _decimal(extended["size"]) if "size" in extended else size
        extended = {}
        size = size if kind in _FILES else 0
        offset += BLOCK
        if offset + size > end:
            raise InvalidTar("is only a part of a tar")
        _add(members, name, kind, Member(offset, size), link)
        offset += _padded(size)
    raise InvalidTar(f"has more than {_MAX_HEADERS} members")


def plain(name: str) -> str:
    """Write a member's name without what means nothing in it (`tar -C layout .` begins each with ./); raise `InvalidTar`."""
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if name.startswith("/") or ".." in parts or "\0" in name or len(name) > _MAX_NAME:
        raise InvalidTar(f"has a member whose name leads elsewhere or is too long: {name[:80]!r}")
    return "/".join(parts)


def _add(members: dict[str, Member], name: str, kind: bytes, member: Member, link: str) -> None:
    path = plain(name)
    if kind == b"5" or (kind in _FILES and name.endswith("/")):
        return
    if kind in {b"1", b"2"}:
        start = "" if kind == b"1" else posixpath.dirname(path)
        member = Member(member.offset, 0, posixpath.normpath(posixpath.join(start, link[: _MAX_NAME + 1])))
    elif kind not in _FILES:
        raise InvalidTar(f"has {_KINDS.get(kind, 'something unknown')} in it: {path[:80]!r}")
    if not path or path in members:
        raise InvalidTar(f"has {path[:80]!r} in it twice" if path else "has a member without a name")
    members[path] = member


def _check_sum(block: bytes) -> None:
    """A header's sum counts its own place as blanks; some wrote it of signed characters."""
    counted = block[:148] + b" " * 8 + block[156:]
    if _number(block[148:156]) not in {sum(counted), sum(each - 256 if each > 127 else each for each in counted)}:
        raise InvalidTar("is no tar, or a damaged one")


def _extension(read: Callable[[int, int], bytes], offset: int, size: int) -> bytes:
    if size > _MAX_EXTENSION:
        raise InvalidTar(f"has a header of {size} bytes")
    body = read(offset + BLOCK, size)
    if len(body) < size:
        raise InvalidTar("is only a part of a tar")
    return body


def _extended(kind: bytes, body: bytes, budget: _ExtensionBudget) -> dict[str, str]:
    """Read an extended header for the next entry; a global one may only comment."""
    if kind in {b"L", b"K"}:
        return {"path" if kind == b"L" else "linkpath": _text(body)}
    records = _records(body, budget)
    if any(key.startswith("GNU.sparse.") for key in records):
        raise InvalidTar("has a sparse file in it: make it without --sparse")
    found = {key: value for key, value in records.items() if key in {"path", "linkpath", "size"}}
    if kind == b"g" and found:
        raise InvalidTar("names all its members at once")
    return found


def _records(body: bytes, budget: _ExtensionBudget) -> dict[str, str]:
    """Read `length key=value` lines, whose lengths count themselves; zeros may follow them."""
    records: dict[str, str] = {}
    start, end = 0, len(body.rstrip(b"\0"))
    while start < end:
        budget.take_record()
        length, blank, _ = body[start : start + 8].partition(b" ")
        size = int(length) if blank and length.isdigit() else 0
        line = body[start + len(length) + 1 : start + size]
        key, equals, value = line[:-1].partition(b"=")
        if not equals or start + size > end or not line.endswith(b"\n"):
            raise InvalidTar("has a header that cannot be read")
        if key in {b"path", b"linkpath", b"size"} or key.startswith(b"GNU.sparse."):
            records[_text(key)] = _text(value)
        start += size
    return records


def _name(block: bytes) -> str:
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    name = _text(block[:100])
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    try:
        return field.partition(b"\0")[0].decode()
    except UnicodeDecodeError:
        raise InvalidTar("has a name that is not UTF-8") from None


def _number(field: bytes) -> int:
    """Read octal digits, or what is too large for them in base 256."""
    if field[0] & 0x80:
        return _bounded(int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big"))
    digits = field.strip(b" \0") or b"0"
    try:
        return _bounded(int(digits, 8))
    except ValueError:
        raise InvalidTar("is no tar, or a damaged one") from None


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise InvalidTar("has a header that cannot be read")
    return _bounded(int(text))


def _bounded(number: int) -> int:
    if not 0 <= number <= _MAX_SIZE:
        raise InvalidTar("is no tar, or a damaged one")
    return number


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
