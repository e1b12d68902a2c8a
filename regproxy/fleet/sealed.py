"""What replicas share as sealed values, wherever these lie.

Every value is sealed under its name and with its time, so that neither a forged one nor another's or an old answer is believed. Without a
key nothing could be told from a forgery, and no value is shared.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from regproxy.fleet.codec import history_document, history_of, tag_document, tag_of, token_document, token_of
from regproxy.fleet.encryption import Encryption
from regproxy.oci.reference import Reference
from regproxy.policy.clock import WallClock
from regproxy.policy.credential import Secret
from regproxy.policy.freshness import TagAnswer
from regproxy.policy.tag_history import History
from regproxy.policy.upstream.tokens import Token

MAX_SEALED = 64 * 1024  # bytes read of a value; ours are a few KiB
_TAGS_KEPT = 3600  # seconds; a record that is older is asked anew anyway, whatever its policy
_HISTORY_KEPT = 90 * 24 * 3600  # seconds; each replica has its own beside it
MAX_AGE = {
    "tag": _TAGS_KEPT,
    "history": _HISTORY_KEPT,
    "token": 12 * 3600,
    "proof": 12 * 3600,
}  # seconds since it was sealed; a token ends by its own time before


class SealedFleet(ABC):
    """Tokens, what tags mean and what they meant, as documents that are sealed."""

    def __init__(self, clock: WallClock) -> None:
        self._clock = clock

    async def token(self, key: Secret) -> Token | None:
        return token_of(await self._get("token", key.value))

    def put_token(self, key: Secret, token: Token) -> None:
        self._put("token", key.value, token_document(token), token.expires_at - self._clock())

    async def tag(self, reference: Reference) -> TagAnswer | None:
        return tag_of(await self._get("tag", str(reference)))

    def put_tag(self, reference: Reference, record: TagAnswer) -> None:
        self._put("tag", str(reference), tag_document(record), _TAGS_KEPT)

    async def history(self, reference: Reference) -> History:
        return history_of(await self._get("history", str(reference)))

    def put_history(self, reference: Reference, history: History) -> None:
        self._put("history", str(reference), history_document(history), _HISTORY_KEPT)

    @property
    @abstractmethod
    def _encryption(self) -> Encryption | None: ...

    @abstractmethod
    def _places(self, encryption: Encryption, kind: str, text: str) -> Sequence[str]:
        """Return where a value may lie: for each of the keys, the one that encrypts first."""

    @abstractmethod
    async def _read(self, places: Sequence[str]) -> Sequence[object]:
        """Return what lies at *places*, in their order; whatever is no bytes is nothing."""

    @abstractmethod
    def _write(self, place: str, sealed: bytes, life: int) -> None:
        """Write behind the answer; *life* is in seconds."""

    async def _get(self, kind: str, text: str) -> dict[str, Any] | None:
        if (encryption := self._encryption) is None:
            return None
        places = self._places(encryption, kind, text)
        for place, sealed in zip(places, await self._read(places), strict=False):
            opened = encryption.opened(place, sealed, self._clock(), MAX_AGE[kind], text) if isinstance(sealed, bytes) and sealed else None
            if opened is not None:
                return dict(json.loads(opened))
        return None

    def _put(self, kind: str, text: str, document: dict[str, Any], life: float) -> None:
        found = self._sealed(kind, text, document)
        if found is not None and life >= 1:
            self._write(*found, int(life))

    def _sealed(self, kind: str, text: str, document: dict[str, Any]) -> tuple[str, bytes] | None:
        """Return where a value lies, and as what; None without a key."""
        if (encryption := self._encryption) is None:
            return None
        place = self._places(encryption, kind, text)[0]
        return place, encryption.sealed(place, json.dumps(document).encode(), self._clock(), text)
