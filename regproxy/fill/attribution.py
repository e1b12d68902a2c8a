"""Who sent wrong bytes: plain where one host sent everything, found out by the next good copy where several did."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from regproxy.fill.source import ReceivedRange
from regproxy.ports import BlobBody, Ingest

_READ = 1024 * 1024


@dataclass(frozen=True, slots=True)
class HashedRange:
    """What a host said that a part of a blob is, by its hash."""

    segment: ReceivedRange
    hash: bytes


def senders(segments: Iterable[ReceivedRange]) -> list[str]:
    """Name those who sent something."""
    return sorted({str(segment.body) for segment in segments})


def report_corrupt(segments: Sequence[ReceivedRange]) -> None:
    """Reject the only one who sent something that is wrong; where there are several, suspect the strangers among them."""
    bodies = list({str(segment.body): segment.body for segment in segments}.values())
    for body in bodies:
        if len(bodies) == 1:
            body.reject()
        elif body.is_untrusted:
            body.suspect()


def report_verified(segments: Iterable[ReceivedRange]) -> None:
    """Record of every sender that what they sent was right."""
    for body in {str(segment.body): segment.body for segment in segments}.values():
        body.confirm()


def statements(ingest: Ingest, segments: Sequence[ReceivedRange]) -> list[HashedRange]:
    """Record the senders of a corrupt copy; all of them are suspected until `identify_corrupt`."""
    for body in {str(segment.body): segment.body for segment in segments}.values():
        body.suspect()
    return [HashedRange(segment, _hash(ingest, segment)) for segment in segments]


def identify_corrupt(ingest: Ingest, doubts: Iterable[HashedRange]) -> None:
    """Reject those whose statements differ from a copy that is right."""
    liars: dict[str, BlobBody] = {}
    for statement in doubts:
        if _hash(ingest, statement.segment) != statement.hash:
            liars[str(statement.segment.body)] = statement.segment.body
    for body in liars.values():
        body.reject()


def _hash(ingest: Ingest, segment: ReceivedRange) -> bytes:
    found, position = sha256(), segment.start
    while position < segment.stop:
        extent = ingest.extent(position, min(position + _READ, segment.stop))
        found.update(os.pread(extent.file.fileno(), extent.length, extent.offset))
        position += extent.length
    return found.digest()
