"""JSON and base64 of a hostile registry, read in one way or not at all."""

import base64
import binascii
from typing import Any

from regproxy.oci.digest import Digest, InvalidDigest
from regproxy.oci.document import parse_json


class InvalidSignature(ValueError):
    """It is no right signature of the digest; the message says what was found."""


def read_object(body: bytes, what: str) -> dict[str, Any]:
    """Read a JSON object in which no name is given twice; raise `InvalidSignature`."""
    try:
        found = parse_json(body, _once)
    except ValueError as error:
        raise InvalidSignature(f"{what} is not JSON with one meaning") from error
    if not isinstance(found, dict):
        raise InvalidSignature(f"{what} is not a JSON object")
    return found


def read_base64(text: object, what: str) -> bytes:
    """Read standard base64 with its padding, as every signer writes it; raise `InvalidSignature`."""
    if not isinstance(text, str) or not text:
        raise InvalidSignature(f"{what} is missing")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidSignature(f"{what} is not base64") from error


def read_digest(text: object, what: str) -> Digest:
    try:
        return Digest.parse(text if isinstance(text, str) else "")
    except InvalidDigest as error:
        raise InvalidSignature(f"{what} names no digest") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found
