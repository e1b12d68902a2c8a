"""A public key, and what it signs.

As cosign does: ECDSA over P-256 with SHA-256 and over P-384 with SHA-384 or, by earlier versions, SHA-256; RSA with PKCS #1 v1.5 and
SHA-256; Ed25519 of the message itself.
"""

import hashlib
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from regproxy.trust.keys import InvalidKey

_RSA_BITS = range(2048, 8192 + 1)  # fewer are weak, more take long
_MAX_SIGNATURE_BYTES = 1024  # of RSA with 8192 bits
_HASHES: dict[str, tuple[HashAlgorithm, ...]] = {"secp256r1": (SHA256(),), "secp384r1": (SHA384(), SHA256())}

_Key: TypeAlias = ec.EllipticCurvePublicKey | RSAPublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key, and the SHA-256 of its DER form as its name."""

    key: _Key
    fingerprint: str

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Report whether *signature* is one of *message* by this key."""
        if len(signature) > _MAX_SIGNATURE_BYTES:
            return False
        match self.key:
            case Ed25519PublicKey():
                return self._accepts(message, signature, None)
            case RSAPublicKey():
                return self._accepts(message, signature, SHA256())
            case curve:
                return any(self._accepts(message, signature, each) for each in _HASHES[curve.curve.name])

    def _accepts(self, message: bytes, signature: bytes, algorithm: HashAlgorithm | None) -> bool:
        try:
            match self.key:
                case Ed25519PublicKey():
                    self.key.verify(signature, message)
                case RSAPublicKey():
                    self.key.verify(signature, message, padding.PKCS1v15(), algorithm or SHA256())
                case _:
                    self.key.verify(signature, message, ec.ECDSA(algorithm or SHA256()))
        except InvalidSignature:
            return False
        return True

    def __str__(self) -> str:
        return f"key {self.fingerprint[:16]}"


def load(block: bytes) -> PublicKey:
    """Read a public key in PEM; raise `InvalidKey`."""
    try:
        key = load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidKey("a public key that cannot be read") from error
    name = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    match key:
        case Ed25519PublicKey():
            return PublicKey(key, name)
        case RSAPublicKey() if key.key_size in _RSA_BITS:
            return PublicKey(key, name)
        case ec.EllipticCurvePublicKey() if key.curve.name in _HASHES:
            return PublicKey(key, name)
        case _:
            raise InvalidKey("a key that is not of ECDSA P-256 or P-384, RSA of 2048 to 8192 bits, or Ed25519")
