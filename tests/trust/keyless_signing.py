"""A whole sigstore of a test: an authority for certificates, its log, a transparency log, and a signer whom an issuer vouched for."""

import hashlib
import json
import struct
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from regproxy.oci.digest import Digest
from regproxy.trust.bundle import BUNDLE_TYPE

from .signing import statement, text

ISSUER, SUBJECT = "https://issuer.example", "https://ci.example/team/app/release"
_SCTS = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_STATEMENT = "application/vnd.in-toto+json"


class Key:
    """A key of ECDSA P-256."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.der = self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.id = hashlib.sha256(self.der).digest()

    def sign(self, message: bytes) -> bytes:
        return self.private.sign(message, ec.ECDSA(SHA256()))

    def log(self, url: str) -> dict[str, object]:
        """Describe the log that has this key."""
        valid = {"start": "2020-01-01T00:00:00Z"}
        key = {"rawBytes": text(self.der), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid}
        return {"baseUrl": url, "hashAlgorithm": "SHA2_256", "publicKey": key, "logId": {"keyId": text(self.id)}}


class Sigstore:
    """Certifies whoever asks."""

    def __init__(self) -> None:
        self._authority, self._certificates, self._log = Key(), Key(), Key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])
        public = self._authority.private.public_key()
        self._now = datetime.now(UTC).replace(microsecond=0, tzinfo=None)  # builders compare naive times
        usage = {"digital_signature": False, "key_cert_sign": True, "crl_sign": True}
        self._root = (
            x509.CertificateBuilder(name, name, public, x509.random_serial_number(), self._now - timedelta(days=1))
            .not_valid_after(self._now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(**usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._authority.private, SHA256())
        )

    def trust_root(self) -> bytes:
        """Write trusted_root.json."""
        chain = {"certificates": [{"rawBytes": text(self._root.public_bytes(Encoding.DER))}]}
        authority = {
            "subject": {"organization": "test", "commonName": "an authority"},
            "uri": "https://fulcio.example",
            "certChain": chain,
            "validFor": {"start": "2020-01-01T00:00:00Z"},
        }
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [self._log.log("https://rekor.example")],
                "certificateAuthorities": [authority],
                "ctlogs": [self._certificates.log("https://ctfe.example")],
            }
        ).encode()

    def bundle(
        self, digest: Digest, issuer: str = ISSUER, subject: str = SUBJECT, predicate: str = "https://sigstore.dev/cosign/sign/v1"
    ) -> bytes:
        """Sign *digest* as cosign does without a key."""
        key = Key()
        certificate = self._certificate(key, issuer, subject)
        payload = statement(digest, predicate)
        signature = key.sign(b"DSSEv1 %d %b %d %b" % (len(_STATEMENT), _STATEMENT.encode(), len(payload), payload))
        envelope = {"payload": text(payload), "payloadType": _STATEMENT, "signatures": [{"sig": text(signature)}]}
        material = {
            "certificate": {"rawBytes": text(certificate.public_bytes(Encoding.DER))},
            "tlogEntries": [self._entry(payload, signature, certificate)],
        }
        return json.dumps({"mediaType": BUNDLE_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope}).encode()

    def _certificate(self, key: Key, issuer: str, subject: str) -> x509.Certificate:
        named = self._root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        builder = (
            x509.CertificateBuilder(self._root.subject, x509.Name([]), key.private.public_key(), x509.random_serial_number())
            .not_valid_before(self._now - timedelta(minutes=1))
            .not_valid_after(self._now + timedelta(minutes=9))
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(subject)]), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(named.value), critical=False)
            .add_extension(x509.UnrecognizedExtension(_ISSUER, issuer.encode()), critical=False)
        )
        body = builder.sign(self._authority.private, SHA256()).tbs_certificate_bytes
        moment = int(self._now.replace(tzinfo=UTC).timestamp() * 1000)
        length = struct.pack("!I", len(body))[1:]
        signed = struct.pack("!BBQH", 0, 0, moment, 1) + self._authority.id + length + body + struct.pack("!H", 0)
        signature = self._certificates.sign(signed)
        sct = b"\0" + self._certificates.id + struct.pack("!QHBBH", moment, 0, 4, 3, len(signature)) + signature
        listed = struct.pack("!HH", len(sct) + 2, len(sct)) + sct
        return builder.add_extension(x509.UnrecognizedExtension(_SCTS, _octets(listed)), critical=False).sign(
            self._authority.private, SHA256()
        )

    def _entry(self, payload: bytes, signature: bytes, certificate: x509.Certificate) -> dict[str, object]:
        """Enter it into a log of this one entry."""
        entered = {"signature": text(signature), "verifier": text(certificate.public_bytes(Encoding.PEM))}
        hashed = {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()}
        spec = {"envelopeHash": hashed, "payloadHash": hashed, "signatures": [entered]}
        body = json.dumps({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}, separators=(",", ":"), sort_keys=True).encode()
        moment = int(self._now.replace(tzinfo=UTC).timestamp())
        promise = {"body": text(body), "integratedTime": moment, "logID": self._log.id.hex(), "logIndex": 0}
        root = hashlib.sha256(b"\0" + body).digest()
        note = f"rekor.example\n1\n{text(root)}\n"
        checkpoint = f"{note}\n\u2014 rekor.example {text(self._log.id[:4] + self._log.sign(note.encode()))}\n"
        return {
            "logIndex": "0",
            "logId": {"keyId": text(self._log.id)},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(moment),
            "inclusionPromise": {
                "signedEntryTimestamp": text(self._log.sign(json.dumps(promise, separators=(",", ":"), sort_keys=True).encode()))
            },
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": text(root),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": checkpoint},
            },
            "canonicalizedBody": text(body),
        }


def _usage(**on: bool) -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign")
    return x509.KeyUsage(**{name: on.get(name, False) for name in (*names, "crl_sign", "encipher_only", "decipher_only")})


def _octets(value: bytes) -> bytes:
    """Write a DER OCTET STRING of at most 255 bytes."""
    return (b"\x04" if len(value) < 128 else b"\x04\x81") + bytes([len(value)]) + value
