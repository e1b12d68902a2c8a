"""A credential that ends, in the form of a token: so it is renewed ahead of its end, and shared by workers, as tokens are."""

import base64
import binascii
import json

from regproxy.policy.credential import Credential, CredentialKind, Secret
from regproxy.policy.upstream import tokens
from regproxy.policy.upstream.tokens import Token


def issued(credential: Credential, seconds: float, now: float, chance: float) -> Token | None:
    """Make a token of a credential that ends after *seconds*; None where it is over, or too long to be sent."""
    value = base64.b64encode(json.dumps([credential.kind.value, credential.username, credential.password.value]).encode()).decode()
    return tokens.issued(value, seconds, now, chance) if seconds > 0 and tokens.is_token(value) else None


def credential_of(token: Token) -> Credential | None:
    """Read the credential in a token; None where it is none, as where it is of another version of ours."""
    try:
        kind, username, password = json.loads(base64.b64decode(token.value.value, validate=True))
        return Credential(str(username), Secret(str(password)), CredentialKind(kind))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        return None
