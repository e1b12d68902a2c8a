"""Whether a request comes from who was given a hook's secret. All comparisons take the same time, however much of a guess is right."""

import base64
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from regproxy.policy.credential import Secret


@dataclass(frozen=True, slots=True)
class Shown:
    """What a request shows: its `Authorization`, `X-Webhook-Secret` and `X-Hub-Signature-256`, and the secrets in its URL."""

    authorization: Sequence[str] = ()
    webhook_secret: Sequence[str] = ()
    signature: Sequence[str] = ()
    in_url: Sequence[str] = ()


def has_signed(secret: Secret, shown: Shown, body: bytes) -> bool:
    """Report whether *body* carries the signature that GitHub makes with *secret* (docs.github.com, Validating webhook deliveries)."""
    right = f"sha256={hmac.new(secret.value.encode(), body, sha256).hexdigest()}"
    return _is_one_of(right, shown.signature)


def knows(secret: Secret, shown: Shown, *, by_url: bool) -> bool:
    """Report whether a request shows *secret*: as all of `Authorization`, as its Bearer token or Basic password, or *by_url*."""
    given = [*shown.webhook_secret, *(part for each in shown.authorization for part in (each, _credential(each)))]
    return _is_one_of(secret.value, [*given, *(shown.in_url if by_url else ())])


def _credential(authorization: str) -> str:
    scheme, _, rest = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return rest.strip()
        case "basic":
            try:
                return base64.b64decode(rest, validate=True).decode().partition(":")[2]
            except ValueError:
                return ""
    return ""


def _is_one_of(right: str, given: Sequence[str]) -> bool:
    wanted = right.encode()
    return any(hmac.compare_digest(wanted, each.encode("utf-8", "surrogatepass")) for each in given)
