"""Signing requests to the APIs of clouds: one way to write a request down, and four ways to sign that.

Sources: AWS, "Signature Version 4 signing process"; Tencent Cloud API 3.0, "Signature method v3"; Alibaba Cloud, "V3 request body and
signature mechanism"; Huawei Cloud, "API Request Signing Guide". None of them sends the secret, and a signature holds for minutes.
"""

import hashlib
import hmac
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import quote

from regproxy.policy.credential import Secret


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key of a cloud's account; *token* goes with keys that are temporary."""

    id: str
    secret: Secret
    token: Secret | None = None


@dataclass(frozen=True, slots=True)
class CloudRequest:
    """A request to a service of a cloud; *path* is not encoded, header names are in lower case."""

    method: str
    host: str
    path: str = "/"
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def having(self, *headers: tuple[str, str]) -> "CloudRequest":
        """Return the same request with more headers."""
        return replace(self, headers=(*self.headers, *headers))

    @property
    def target(self) -> str:
        """Write path and query as they are sent, and signed."""
        query = canonical_query(self.query)
        return quote(self.path, safe="/-_.~:@") + (f"?{query}" if query else "")


def sign_aws(request: CloudRequest, key: AccessKey, region: str, service: str, now: float) -> CloudRequest:
    """Sign by AWS4-HMAC-SHA256 at *now*, in epoch seconds."""
    moment, date = _moment(now), _moment(now)[:8]
    token = (("x-amz-security-token", key.token.value),) if key.token else ()
    dated = request.having(("host", request.host), ("x-amz-date", moment), *token)
    scope = f"{date}/{region}/{service}/aws4_request"
    canonical, names = canonical_request(dated, _normalized(request.path))
    signing_key = f"AWS4{key.secret.value}".encode()
    for part in (date, region, service, "aws4_request"):
        signing_key = _hmac(signing_key, part)
    signature = _hmac(signing_key, f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{_sha256(canonical.encode())}").hex()
    return dated.having(("authorization", f"AWS4-HMAC-SHA256 Credential={key.id}/{scope}, SignedHeaders={names}, Signature={signature}"))


def sign_tencent(request: CloudRequest, key: AccessKey, service: str, now: float) -> CloudRequest:
    """Sign by TC3-HMAC-SHA256 at *now*; of the headers it signs `content-type` and `host`."""
    date = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    token = (("x-tc-token", key.token.value),) if key.token else ()
    dated = request.having(("host", request.host), ("x-tc-timestamp", str(int(now))), *token)
    scope = f"{date}/{service}/tc3_request"
    canonical, names = canonical_request(dated, dated.path, {"content-type", "host"})
    signing_key = f"TC3{key.secret.value}".encode()
    for part in (date, service, "tc3_request"):
        signing_key = _hmac(signing_key, part)
    signature = _hmac(signing_key, f"TC3-HMAC-SHA256\n{int(now)}\n{scope}\n{_sha256(canonical.encode())}").hex()
    return dated.having(("authorization", f"TC3-HMAC-SHA256 Credential={key.id}/{scope}, SignedHeaders={names}, Signature={signature}"))


def sign_aliyun(request: CloudRequest, key: AccessKey, nonce: str, now: float) -> CloudRequest:
    """Sign by ACS3-HMAC-SHA256 at *now*; a *nonce* is used once."""
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    token = (("x-acs-security-token", key.token.value),) if key.token else ()
    own = (("x-acs-date", moment), ("x-acs-signature-nonce", nonce), ("x-acs-content-sha256", _sha256(request.body)))
    dated = request.having(("host", request.host), *own, *token)
    signed = {name for name, _ in dated.headers if name == "host" or name == "content-type" or name.startswith("x-acs-")}
    canonical, names = canonical_request(dated, quote(dated.path, safe="/-_.~"), signed)
    signature = _hmac(key.secret.value.encode(), f"ACS3-HMAC-SHA256\n{_sha256(canonical.encode())}").hex()
    return dated.having(("authorization", f"ACS3-HMAC-SHA256 Credential={key.id},SignedHeaders={names},Signature={signature}"))


def sign_huawei(request: CloudRequest, key: AccessKey, now: float) -> CloudRequest:
    """Sign by SDK-HMAC-SHA256 at *now*."""
    moment = _moment(now)
    token = (("x-security-token", key.token.value),) if key.token else ()
    dated = request.having(("host", request.host), ("x-sdk-date", moment), *token)
    path = quote(dated.path, safe="/-_.~")
    canonical, names = canonical_request(dated, path if path.endswith("/") else f"{path}/")
    signature = _hmac(key.secret.value.encode(), f"SDK-HMAC-SHA256\n{moment}\n{_sha256(canonical.encode())}").hex()
    return dated.having(("authorization", f"SDK-HMAC-SHA256 Access={key.id}, SignedHeaders={names}, Signature={signature}"))


def huawei_login(key: AccessKey) -> str:
    """Write the password of a long-term login of Huawei's SWR (support.huaweicloud.com: "Obtaining a Long-Term Login Command")."""
    return _hmac(key.secret.value.encode(), key.id).hex()


def canonical_request(request: CloudRequest, path: str, signed: Iterable[str] | None = None) -> tuple[str, str]:
    """Write a request down as it is signed, and the names of its *signed* headers; None: all of them."""
    kept = None if signed is None else frozenset(signed)
    values: dict[str, list[str]] = {}
    for name, value in request.headers:
        if kept is None or name in kept:
            values.setdefault(name, []).append(" ".join(value.split()))
    headers = "".join(f"{name}:{','.join(values[name])}\n" for name in sorted(values))
    names = ";".join(sorted(values))
    return "\n".join((request.method, path, canonical_query(request.query), headers, names, _sha256(request.body))), names


def canonical_query(query: Iterable[tuple[str, str]] | Mapping[str, str]) -> str:
    """Write parameters sorted and encoded, as RFC 3986 has it."""
    pairs = query.items() if isinstance(query, Mapping) else query
    return "&".join(
        f"{name}={value}" for name, value in sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in pairs)
    )


def _normalized(path: str) -> str:
    """Write a path as AWS signs it: without dots and empty parts, and encoded."""
    whole = posixpath.normpath(f"/{path.lstrip('/')}")
    return quote(whole + ("/" if path.endswith("/") and whole != "/" else ""), safe="/-_.~")


def _moment(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
