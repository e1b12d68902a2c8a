"""JWTs of configured issuers (RFC 7519, RFC 8725): signed by a key of theirs, meant for us, and not over."""

import base64
import binascii
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import BadSignatureError, ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError

from regproxy.clients.issuer_keys import IssuerKeys
from regproxy.config.clients import JwtEntry
from regproxy.oci import errors
from regproxy.oci.errors import RegistryError
from regproxy.policy.clients.identity import Identity, matches
from regproxy.policy.clock import WallClock
from regproxy.policy.credential import Secret
from regproxy.ports import UpstreamError

# Public keys only: none, and what is signed by a secret that whoever verifies has too, are no proof (RFC 8725, 2.1).
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
_LEEWAY = 60  # seconds by which clocks may differ
_MAX_SUBJECT = 200  # characters


class InvalidJwt(Exception):
    """It is refused; the message says why, and shows nothing of it but whose it says it is."""


@dataclass(frozen=True, slots=True)
class Verified:
    """Whose a JWT is, and until when, in epoch seconds."""

    client: Identity
    issuer: str
    audience: str
    subject: str
    until: float


class Jwts:
    """Verifies JWTs of some issuers."""

    def __init__(self, entries: Sequence[JwtEntry], clock: WallClock = time.time) -> None:
        """Fetch no keys yet; *clock* returns epoch seconds."""
        self._entries = entries
        self._clock = clock
        self._keys = {_source(entry): IssuerKeys(entry) for entry in entries}

    async def verify(self, token: Secret) -> Verified:
        """Return whose *token* is; raise `InvalidJwt`, or `RegistryError` where its issuer is out of reach and its keys are not known."""
        issuer = _unverified(token.value, 1).get("iss")
        entries = [entry for entry in self._entries if entry.issuer == str(issuer).rstrip("/")]
        if not entries:
            raise InvalidJwt("no issuer of this JWT is configured (clients.jwt)")
        refusal = InvalidJwt("it is for nobody")
        for entry in entries:
            try:
                return await self._verified(token, entry)
            except InvalidJwt as error:
                refusal = error
        raise refusal

    def known(self, issuer: str, audience: str, subject: str) -> Identity | None:
        """Return who *subject* is now, of a token that was verified before; None where it is nobody any longer."""
        for entry in self._entries:
            if (entry.issuer, entry.audience) == (issuer, audience) and matches(entry.subjects, subject):
                return Identity(subject, entry.allow)
        return None

    async def close(self) -> None:
        for keys in self._keys.values():
            await keys.close()

    async def _verified(self, token: Secret, entry: JwtEntry) -> Verified:
        name = _unverified(token.value, 0).get("kid", "")
        try:
            key = await self._keys[_source(entry)].find(name if isinstance(name, str) else "")
        except UpstreamError as error:
            raise _out_of_reach(entry, error) from error
        if key is None:
            raise InvalidJwt(f"it is signed by a key that {entry.issuer} does not name")
        try:
            claims = jwt.decode(token.value, key, algorithms=list(_ALGORITHMS)).claims
            self._registry(entry).validate(claims)
        except (JoseError, ValueError, TypeError, KeyError, OverflowError) as error:
            raise InvalidJwt(_explained(error, entry)) from None
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject.isprintable() or not 0 < len(subject) <= _MAX_SUBJECT:
            raise InvalidJwt("it has no subject that can be used (sub)")
        if not matches(entry.subjects, subject):
            raise InvalidJwt(f"{subject} is not among the subjects of {entry.issuer} that may pull")
        return Verified(Identity(subject, entry.allow), entry.issuer, entry.audience, subject, float(claims["exp"]))

    def _registry(self, entry: JwtEntry) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            now=int(self._clock()),
            leeway=_LEEWAY,
            iss={"essential": True, "values": [entry.issuer, f"{entry.issuer}/"]},
            aud={"essential": True, "value": entry.audience},
            exp={"essential": True},
        )


def _source(entry: JwtEntry) -> tuple[object, ...]:
    """Distinguish where keys come from."""
    return entry.issuer, entry.keys, entry.ca, entry.token_file, entry.private_networks


def _unverified(token: str, part: int) -> Mapping[str, Any]:
    """Read the header or the claims of a JWT, which may say anything; raise `InvalidJwt`."""
    encoded = token.split(".")[part]
    try:
        found = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidJwt("it is no JWT")
    return found


def _explained(error: Exception, entry: JwtEntry) -> str:
    claim = str(getattr(error, "claim", ""))[:_MAX_SUBJECT]
    match error:
        case ExpiredTokenError():
            return "its time is over (exp)"
        case InvalidClaimError() if claim in {"nbf", "iat"}:
            return f"its time has not come ({claim})"
        case InvalidClaimError() if claim == "aud":
            return f"it is for another audience than {entry.audience} (aud)"
        case InvalidClaimError() | MissingClaimError():
            return f"its {claim or 'claims'} cannot be used"
        case BadSignatureError():
            return "its signature is wrong"
    return f"it is not signed as it must be, by one of {', '.join(_ALGORITHMS)}"


def _out_of_reach(entry: JwtEntry, error: UpstreamError) -> RegistryError:
    return errors.unavailable(f"the keys of {entry.issuer} are not known, so no JWT can be verified: {error}", retry_after=10)
