"""Parts of a representation, as `Range` names them (RFC 9110, section 14)."""

import re
from dataclasses import dataclass

_SPEC = re.compile(r"(\d{1,18})?-(\d{1,18})?", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII | re.IGNORECASE)
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,18})", re.ASCII | re.IGNORECASE)
# RFC 9110, 14.2: many small ranges are an attack; such a header is ignored and the whole is sent. containers-storage asks for 1,024.
# Parts that touch are not joined (RFC 9110, 15.3.7.2 allows it): containers-storage takes fewer parts than it asked for as a failure.
_MOST_RANGES = 1024
WEIGHT = 128  # reading a byte of a header of many ranges takes as long as reading so many bytes of JSON


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes *start* to *stop*, stop excluded, of something *size* bytes long."""

    start: int
    stop: int
    size: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    @property
    def is_whole(self) -> bool:
        return self.start == 0 and self.stop == self.size

    def content_range(self) -> str:
        """Write the value of `Content-Range`."""
        return f"bytes {self.start}-{self.stop - 1}/{self.size}"


class UnsatisfiableRange(ValueError):
    """Not one of the ranges overlaps the representation; the answer is 416."""


def whole(size: int) -> ByteRange:
    return ByteRange(0, size, size)


def parse(header: str | None, size: int) -> list[ByteRange]:
    """List the ranges that *header* asks for; an empty list means the whole.

    A header that is absent, malformed or in another unit is ignored, as RFC 9110 14.2 asks, and so is one whose ranges add up to more
    than the whole (17.15). Nothing of an empty representation can be named, so it is sent as it is. Raise `UnsatisfiableRange` where
    none of the ranges overlaps.
    """
    unit, separator, specs = (header or "").partition("=")
    if not separator or unit.strip().lower() != "bytes":
        return []
    parts = [part.strip() for part in specs.split(",") if part.strip()]
    if not parts or len(parts) > _MOST_RANGES or size == 0:
        return []
    found = []
    for part in parts:
        bounds = _bounds(part)
        if bounds is None:
            return []
        first, last = bounds
        if (byte_range := _clip(first, last, size)) is not None:
            found.append(byte_range)
    if not found:
        raise UnsatisfiableRange(f"no part of {(header or '')[:80]!r} lies within {size} bytes")
    return found if sum(byte_range.length for byte_range in found) <= size else []


def single(header: str | None) -> tuple[int, int | None] | None:
    """Read one range: from where, and to where (excluded) if that is said; None if it is anything else.

    As in Python's slices, a negative beginning counts from the end.
    """
    unit, separator, spec = (header or "").partition("=")
    if not separator or unit.strip().lower() != "bytes":
        return None
    first, last = _bounds(spec.strip()) or (None, None)
    if first is None:
        return (-last, None) if last else None
    return first, None if last is None else last + 1


def parse_content_range(header: str | None) -> ByteRange | None:
    """Read `bytes first-last/size` from an upstream, or None if it is anything else."""
    match = _CONTENT_RANGE.fullmatch((header or "").strip())
    if match is None:
        return None
    first, last, size = (int(group) for group in match.groups())
    return ByteRange(first, last + 1, size) if first <= last < size else None


def parse_complete_length(header: str | None) -> int | None:
    """Read the complete length of a 416's `bytes */length` (RFC 9110, 14.4), or None if there is none."""
    match = _UNSATISFIED.fullmatch((header or "").strip())
    return None if match is None else int(match[1])


def _bounds(part: str) -> tuple[int | None, int | None] | None:
    match = _SPEC.fullmatch(part)
    if match is None:
        return None
    first, last = (None if group is None else int(group) for group in match.groups())
    if (first is None and last is None) or (first is not None and last is not None and last < first):
        return None
    return first, last


def _clip(first: int | None, last: int | None, size: int) -> ByteRange | None:
    if first is None:
        start, stop = max(size - (last or 0), 0), size
    else:
        start, stop = first, size if last is None else min(last + 1, size)
    return ByteRange(start, stop, size) if start < stop else None
