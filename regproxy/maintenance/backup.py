"""The document of `regproxy store backup`: what operators decided, and nothing that can be asked again.

{"kind": "regproxy backup", "version": 1, "pins": [DIGEST...], "freezes": [{"pattern": ..., "digest": ... or null}...],
 "tags": [{"reference": ..., "media_type": ..., "digest": ..., "size": ..., "checked_at": ...}...]}
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import LIMIT
from regproxy.oci.reference import Reference, reference_named
from regproxy.policy.freezing import Freeze, is_pattern
from regproxy.policy.freshness import TagRecord
from regproxy.ports import OperatorDecisions

KIND = "regproxy backup"
VERSION = 1
LISTS = ("pins", "freezes", "tags")

_MAX_MEDIA_TYPE_CHARACTERS = 255


class InvalidBackup(Exception):
    """A document is no backup, or one of a later version."""


def written(decisions: OperatorDecisions) -> dict[str, object]:
    return {
        "kind": KIND,
        "version": VERSION,
        "pins": [str(digest) for digest in decisions.pins],
        "freezes": [{"pattern": each.pattern, "digest": str(each.digest) if each.digest else None} for each in decisions.freezes],
        "tags": [{"reference": str(reference), **_tag(record)} for reference, record in decisions.tags],
    }


def read(document: object) -> OperatorDecisions:
    """Read a whole document or a part of one; raise `InvalidBackup`."""
    if not isinstance(document, Mapping) or document.get("kind") != KIND:
        raise InvalidBackup("this is not a backup of regproxy: `regproxy store backup` writes one")
    if document.get("version") != VERSION:
        raise InvalidBackup(
            f"the backup has version {document.get('version')}, and this regproxy reads {VERSION}: use the one that wrote it"
        )
    try:
        pins, freezes, tags = (document.get(name, []) for name in LISTS)
        return OperatorDecisions(
            tuple(Digest.parse(_text(each)) for each in pins), tuple(map(_read_freeze, freezes)), tuple(map(_read_tag, tags))
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise InvalidBackup(f"the backup is damaged: {type(error).__name__}: {error}") from error


def parts(document: Mapping[str, Any], most: int) -> Iterator[dict[str, object]]:
    """Divide a document into such of at most *most* entries, so that none is too large for a request."""
    for name in LISTS:
        entries = document.get(name) or []
        for start in range(0, len(entries), most):
            yield {"kind": document.get("kind"), "version": document.get("version"), name: entries[start : start + most]}


def _tag(record: TagRecord) -> dict[str, object]:
    found = record.descriptor
    return {"media_type": found.media_type, "digest": str(found.digest), "size": found.size, "checked_at": record.checked_at}


def _read_freeze(entry: Mapping[str, object]) -> Freeze:
    pattern, digest = _text(entry["pattern"]), entry["digest"]
    if not is_pattern(pattern):
        raise ValueError("a pattern of a freeze is empty, too long or not printable")
    return Freeze(pattern, None if digest is None else Digest.parse(_text(digest)))


def _read_tag(entry: Mapping[str, Any]) -> tuple[Reference, TagRecord]:
    media_type, size, checked_at = _text(entry["media_type"]), int(entry["size"]), float(entry["checked_at"])
    if not 0 < len(media_type) <= _MAX_MEDIA_TYPE_CHARACTERS or not media_type.isascii() or not media_type.isprintable():
        raise ValueError("the media type of a tag is empty, too long or not printable ASCII")
    if not 0 <= size <= LIMIT or not math.isfinite(checked_at):
        raise ValueError("a tag has a size or a time that nothing has")
    descriptor = Descriptor(media_type, Digest.parse(_text(entry["digest"])), size)
    return reference_named(_text(entry["reference"])), TagRecord(descriptor, checked_at)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} is not text")
    return value
