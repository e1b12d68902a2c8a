"""What is written about content in an object store, signed: who can write there must not be able to say what a tag means.

A document is one line of JSON and the MAC over its path, its content and the time when it was signed, in hex. Of two keys the first
signs, and either verifies: so one is rotated out, as what the other one signed is written again. What is not signed, or not for this path,
is not there.
"""

import hashlib
import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from regproxy.fleet.codec import history_document, history_of, tag_document, tag_of
from regproxy.fleet.encryption import derived
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.policy.clock import WallClock
from regproxy.policy.freezing import Freeze, is_pattern
from regproxy.policy.freshness import TagRecord
from regproxy.policy.store.pieces import PieceSums
from regproxy.policy.tag_history import History

_MAC = 64  # hex digits
MAX_SIZE = 16 * 1024  # bytes of a link, or of a tag with its history
MAX_SUMS = 1024 * 1024  # bytes of the hashes of the largest blob


@dataclass(frozen=True, slots=True)
class TagDocument:
    """What a tag means, and what it has meant."""

    record: TagRecord
    history: History


@dataclass(frozen=True, slots=True)
class Pinned:
    """That an operator pinned content, or no longer wants it pinned."""

    digest: Digest
    is_lifted: bool


@dataclass(frozen=True, slots=True)
class Frozen:
    """What an operator froze a pattern to; *freeze* is None where that is lifted."""

    pattern: str
    freeze: Freeze | None


@dataclass(frozen=True, slots=True)
class Closure:
    """That upstream refused a repository, when, in epoch seconds, and why."""

    refused_at: float
    reason: str


class Signer:
    """Signs and verifies with shared keys, which never leave the process."""

    def __init__(self, keys: str, clock: WallClock) -> None:
        """Derive the keys from *keys*: one text, or two separated by a comma; *clock* returns epoch seconds."""
        self._keys = [derived(key.strip(), "objects") for key in keys.split(",")]
        self._clock = clock

    def signed(self, path: str, document: Mapping[str, Any]) -> bytes:
        """Write *document* for one *path*."""
        body = json.dumps({**document, "signed_at": self._clock()}, separators=(",", ":"), sort_keys=True).encode()
        return body + b"\n" + self._mac(self._keys[0], path, body).encode()

    def verified(self, path: str, written: bytes | None) -> Mapping[str, Any] | None:
        """Read what was signed for this very *path*; None for everything else."""
        if written is None:
            return None
        body, mac = written[: -_MAC - 1], written[-_MAC:]
        if not any(hmac.compare_digest(self._mac(key, path, body).encode(), mac) for key in self._keys):
            return None
        document = json.loads(body)
        return document if isinstance(document, dict) else None

    def is_current(self, path: str, written: bytes | None) -> bool:
        """Report whether it was signed for *path*, and with the key that signs now."""
        return written is not None and hmac.compare_digest(self._mac(self._keys[0], path, written[: -_MAC - 1]).encode(), written[-_MAC:])

    def _mac(self, key: bytes, path: str, body: bytes) -> str:
        return hmac.digest(key, path.encode() + b"\0" + body, hashlib.sha256).hex()


def sums_document(sums: PieceSums) -> dict[str, Any]:
    return {"size": sums.size, "piece": sums.piece, "hashes": b64encode(sums.hashes).decode()}


def sums_of(document: Mapping[str, Any] | None) -> PieceSums | None:
    """Read the hashes of a blob; None where there is nothing in it, or what another version would read."""
    try:
        return PieceSums(int(document["size"]), int(document["piece"]), b64decode(document["hashes"])) if document else None
    except (KeyError, TypeError, ValueError):
        return None


def link_document(descriptor: Descriptor) -> dict[str, Any]:
    return {"media_type": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}


def link_of(document: Mapping[str, Any] | None) -> Descriptor | None:
    """Read what a repository holds; None where there is nothing in it."""
    found = tag_of({**document, "checked_at": 0.0}) if document else None
    return found.descriptor if isinstance(found, TagRecord) else None


def tag_with_history(tag: TagDocument) -> dict[str, Any]:
    return {**tag_document(tag.record), **history_document(tag.history)}


def tag_with_history_of(document: Mapping[str, Any] | None) -> TagDocument | None:
    """Read what a tag means; None where there is nothing in it."""
    record = tag_of(document)
    return TagDocument(record, history_of(document)) if isinstance(record, TagRecord) and isfinite(record.checked_at) else None


def closure_document(closure: Closure) -> dict[str, Any]:
    return {"refused_at": closure.refused_at, "reason": closure.reason}


def closure_of(document: Mapping[str, Any] | None) -> Closure | None:
    """Read that a repository is closed; None where there is nothing in it."""
    try:
        return Closure(float(document["refused_at"]), str(document["reason"])) if document else None
    except (KeyError, TypeError, ValueError):
        return None


def pinned_document(pinned: Pinned) -> dict[str, Any]:
    return {"digest": str(pinned.digest), "is_lifted": pinned.is_lifted}


def pinned_of(document: Mapping[str, Any] | None) -> Pinned | None:
    """Read what was decided of content; None where there is nothing in it."""
    try:
        return Pinned(Digest.parse(document["digest"]), document.get("is_lifted") is True) if document else None
    except (KeyError, TypeError, ValueError):
        return None


def frozen_document(frozen: Frozen) -> dict[str, Any]:
    digest = frozen.freeze.digest if frozen.freeze is not None else None
    return {"pattern": frozen.pattern, "digest": str(digest or ""), "is_lifted": frozen.freeze is None}


def frozen_of(document: Mapping[str, Any] | None) -> Frozen | None:
    """Read what was decided of a pattern; None where there is nothing in it."""
    try:
        if not document or not isinstance(pattern := document["pattern"], str) or not is_pattern(pattern):
            return None
        if document.get("is_lifted") is True:
            return Frozen(pattern, None)
        return Frozen(pattern, Freeze(pattern, Digest.parse(document["digest"]) if document["digest"] else None))
    except (KeyError, TypeError, ValueError):
        return None
