"""Files of public keys in PEM, such as cosign.pub."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regproxy.trust.public_key import PublicKey

MAX_KEY_FILE_BYTES = 64 * 1024
_MAX_KEYS = 16  # in a file: each is tried for each signature
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


class InvalidKey(ValueError):
    """The text is no public key that signatures are verified with."""


def parse_keys(text: bytes) -> "tuple[PublicKey, ...]":
    """Read the public keys of a PEM file, such as cosign.pub; raise `InvalidKey` where one of them cannot be used, or there is none."""
    if len(text) > MAX_KEY_FILE_BYTES:
        raise InvalidKey(f"more than {MAX_KEY_FILE_BYTES} bytes")
    blocks = list(_BLOCK.finditer(text))
    if not blocks:
        raise InvalidKey("no public key in PEM")
    if len(blocks) > _MAX_KEYS:
        raise InvalidKey(f"more than {_MAX_KEYS} keys")
    return tuple(_parsed(block[1], block[0]) for block in blocks)


def signer_of(message: bytes, signature: bytes, keys: "Sequence[PublicKey]") -> "PublicKey | None":
    """Find the one of *keys* that made *signature* of *message*."""
    return next((key for key in keys if key.has_signed(message, signature)), None)


def _parsed(label: bytes, block: bytes) -> "PublicKey":
    if b"PRIVATE" in label:
        raise InvalidKey("a private key: it does not belong here, and whoever can read it can sign")
    if label not in {b"PUBLIC KEY", b"RSA PUBLIC KEY"}:
        raise InvalidKey(f"a {label.decode().lower()}, no public key")
    from regproxy.trust import public_key  # noqa: PLC0415  9 MB that who verifies no signature does without

    return public_key.load(block)
