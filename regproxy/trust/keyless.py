"""Signers without keys, by the package `sigstore` (extra `regproxy[sigstore]`): certificates, logs and timestamps of a trust root.

What is verified is in the bundle and the trust root: no network is used.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from cryptography.x509 import (
    Certificate,
    ExtensionNotFound,
    ObjectIdentifier,
    RFC822Name,
    SubjectAlternativeName,
    UniformResourceIdentifier,
)
from sigstore.errors import VerificationError
from sigstore.models import Bundle as SigstoreBundle
from sigstore.models import TrustedRoot
from sigstore.verify import Verifier
from sigstore.verify.policy import AllOf, AnyOf, OIDCIssuer, VerificationPolicy
from sigstore.verify.policy import Identity as ExactIdentity
from sigstore_models.trustroot.v1 import TrustedRoot as TrustedRootDocument

from regproxy.oci.digest import Digest
from regproxy.trust.bundle import Bundle, Envelope, MessageSignature, check_statement
from regproxy.trust.patterns import Pattern
from regproxy.trust.signed_json import InvalidSignature

MAX_TRUST_ROOT_BYTES = 1024 * 1024
_MAX_REASON = 200  # characters of what the package says
_ISSUER = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")  # sigstore/fulcio, docs/oid-info.md


class Identity(Protocol):
    """A signer: for whom an issuer vouched; each by its name, or by a pattern of the whole name."""

    @property
    def issuer(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def is_issuer_pattern(self) -> bool: ...
    @property
    def is_subject_pattern(self) -> bool: ...


class InvalidTrustRoot(ValueError):
    """The document is no trust root."""


class KeylessVerifier:
    """Verifies bundles of some identities by one trust root."""

    def __init__(self, trust_root: bytes, identities: Sequence[Identity]) -> None:
        """Trust *trust_root*, a `trusted_root.json`, and who is one of *identities*.

        Raise `InvalidTrustRoot`, or `InvalidPattern`.
        """
        if len(trust_root) > MAX_TRUST_ROOT_BYTES:
            raise InvalidTrustRoot(f"more than {MAX_TRUST_ROOT_BYTES} bytes")
        try:
            self._verifier = Verifier(trusted_root=TrustedRoot(TrustedRootDocument.from_json(trust_root)))
        except Exception as error:
            raise InvalidTrustRoot(_reason(error)) from error
        self._policy = AnyOf([_policy(each) for each in identities])

    def verify(self, bundle: Bundle, digest: Digest, body: bytes) -> None:
        """Raise `InvalidSignature` unless *bundle* is right for the manifest of *digest* and *body*, by one of the identities."""
        try:
            found = SigstoreBundle.from_json(bundle.raw)
            if isinstance(bundle.content, MessageSignature):
                self._verifier.verify_artifact(body, found, self._policy)
                return
            payload_type, payload = self._verifier.verify_dsse(found, self._policy)
        except Exception as error:  # whatever a hostile bundle makes the package raise
            raise InvalidSignature(f"a keyless signature that is not right: {_reason(error)}") from error
        check_statement(Envelope(payload, payload_type, bundle.content.signature), digest)


class _Matching:
    """A policy: some name in a certificate matches a pattern."""

    def __init__(self, pattern: Pattern, names: Callable[[Certificate], Sequence[str]]) -> None:
        self._pattern = pattern
        self._names = names

    def verify(self, cert: Certificate) -> None:
        """Raise `VerificationError` unless one of the names matches."""
        names = self._names(cert)
        if not any(map(self._pattern.matches, names)):
            raise VerificationError(f"none of {names} matches")


def _policy(identity: Identity) -> VerificationPolicy:
    """Make the policy that both names of *identity* have to fit; raise `InvalidPattern`."""
    is_issuer, is_subject = identity.is_issuer_pattern, identity.is_subject_pattern
    issuer = _Matching(Pattern(identity.issuer), _issuers) if is_issuer else OIDCIssuer(identity.issuer)
    subject = _Matching(Pattern(identity.subject), _subjects) if is_subject else ExactIdentity(identity=identity.subject)
    return AllOf([issuer, subject])


def _issuers(certificate: Certificate) -> Sequence[str]:
    try:
        extension = certificate.extensions.get_extension_for_oid(_ISSUER).value
        return [extension.public_bytes().decode()]
    except (ExtensionNotFound, UnicodeDecodeError):
        return []


def _subjects(certificate: Certificate) -> Sequence[str]:
    try:
        names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return []
    return [*names.get_values_for_type(RFC822Name), *names.get_values_for_type(UniformResourceIdentifier)]


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:_MAX_REASON] or type(error).__name__
