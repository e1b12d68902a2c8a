"""Error responses for requests that cannot be served (distribution-spec, Error Codes)."""

import json
import re
from collections.abc import Mapping
from types import MappingProxyType

_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_LONGEST_REASON = 300  # characters of what somebody else gives as the reason


class RegistryError(Exception):
    """An answer with an OCI error body: the code and status a client understands, and a sentence for its user."""

    def __init__(self, code: str, status: int, message: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message
        self.headers = headers

    def detached(self) -> "RegistryError":
        """Copy it without its traceback and cause, which keep the request that it ended."""
        return RegistryError(self.code, self.status, self.message, self.headers)

    def body(self) -> bytes:
        """Render the only form of error body there is."""
        error = {"code": self.code, "message": self.message, "detail": None}
        return json.dumps({"errors": [error]}, ensure_ascii=True).encode()


def parse_error(body: bytes) -> tuple[str, str]:
    """Read the code and the message, as it was sent, of the first error in an upstream's error body; empty where there is none."""
    try:
        match json.loads(body):
            case {"errors": [{**first}, *_]}:
                code, message = first.get("code"), first.get("message")
            case _:
                return "", ""
    except (ValueError, RecursionError):
        return "", ""
    known = code if isinstance(code, str) and _CODE.fullmatch(code) else ""
    return known, message if isinstance(message, str) else ""


def told_reason(message: str) -> str:
    """Make of an upstream's message what may be logged and told: not too much, and nothing that does more than being read."""
    return "".join(each if each.isprintable() else " " for each in message[:_LONGEST_REASON]).strip()


def name_invalid(message: str) -> RegistryError:
    return RegistryError("NAME_INVALID", 400, message)


def name_unknown(message: str) -> RegistryError:
    return RegistryError("NAME_UNKNOWN", 404, message)


def digest_invalid(message: str) -> RegistryError:
    return RegistryError("DIGEST_INVALID", 400, message)


def manifest_unknown(message: str) -> RegistryError:
    return RegistryError("MANIFEST_UNKNOWN", 404, message)


def blob_unknown(message: str) -> RegistryError:
    return RegistryError("BLOB_UNKNOWN", 404, message)


def denied(message: str) -> RegistryError:
    """Refuse, also where upstream refused us.

    403, never 401: a challenge of ours would make clients send us the passwords they hold for upstream.
    """
    return RegistryError("DENIED", 403, message)


def write_unsupported(message: str) -> RegistryError:
    return RegistryError("UNSUPPORTED", 405, message, {"Allow": "GET, HEAD"})


def endpoint_unsupported(message: str) -> RegistryError:
    return RegistryError("UNSUPPORTED", 404, message)


def range_invalid(message: str, size: int) -> RegistryError:
    return RegistryError("RANGE_INVALID", 416, message, {"Content-Range": f"bytes */{size}"})


def content_invalid(message: str) -> RegistryError:
    """Refuse content that is ambiguous, or larger than any client should take, by its author's doing.

    422, no 5xx: the cache and the registry work, and whoever asks again, or another cache that asks us, is to believe no less in them.
    """
    return RegistryError("MANIFEST_INVALID", 422, message)


def bad_gateway(message: str) -> RegistryError:
    return RegistryError("UNKNOWN", 502, message)


def loop_detected(message: str) -> RegistryError:
    return RegistryError("UNKNOWN", 508, message)


def gateway_timeout(message: str) -> RegistryError:
    return RegistryError("UNKNOWN", 504, message)


def too_many_requests(message: str, retry_after: int) -> RegistryError:
    """Refuse who has used up its quota, and end its connection; upstream is not asked for it, however often it comes."""
    return RegistryError("TOOMANYREQUESTS", 429, message, {"Retry-After": str(retry_after), "Connection": "close"})


def unavailable(message: str, retry_after: int) -> RegistryError:
    """Ask a client to come back in *retry_after* seconds; no 429, which containerd answers with six requests at once."""
    return RegistryError("UNAVAILABLE", 503, message, {"Retry-After": str(retry_after)})
