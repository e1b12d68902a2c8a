"""What a member says of a piece behind its bytes, where caches state what pieces are: only then does it know."""

from dataclasses import dataclass
from enum import Enum

from regproxy.policy.fleet.signed_hash import LENGTH as _SIGNED
from regproxy.policy.fleet.signed_hash import SignedHash

FIELD = "Regproxy-Trailer"  # a field of answers that have one
LENGTH = 1 + _SIGNED  # bytes


class Word(Enum):
    """What a member says."""

    NOTHING = b"\0"  # it does not know, or what comes next does
    SIGNED = b"\1"  # they are right, and the signed hash follows
    WRONG = b"\2"  # they are wrong: it was sent them itself, and knows better by now


@dataclass(frozen=True, slots=True)
class Trailer:
    """What a member says of what it has sent."""

    word: Word
    signed: SignedHash | None = None

    def encode(self) -> bytes:
        return self.word.value + (bytes(_SIGNED) if self.signed is None else self.signed.encode())

    @classmethod
    def of(cls, signed: SignedHash | None) -> "Trailer":
        return cls(Word.NOTHING if signed is None else Word.SIGNED, signed)

    @classmethod
    def decode(cls, encoded: bytes) -> "Trailer":
        """Read what `encode` wrote; what is something else says nothing."""
        if encoded[:1] == Word.WRONG.value:
            return cls(Word.WRONG)
        return cls.of(SignedHash.decode(encoded[1:]))
