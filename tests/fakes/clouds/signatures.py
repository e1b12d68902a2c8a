"""Whether a request is signed as a cloud demands: written from the request as it came, and from the cloud's documentation alone."""

import hashlib
import hmac
import re
from urllib.parse import parse_qsl, quote

from tests.fakes.entry import Entry

_FIELD = re.compile(r"(\w+)=([^,\s]+)")


def fields_of(entry: Entry) -> dict[str, str]:
    """Read the parts of an Authorization header, and its algorithm."""
    algorithm, _, rest = entry.headers.get("authorization", "").partition(" ")
    return {"algorithm": algorithm, **dict(_FIELD.findall(rest))}


def is_signed(entry: Entry, secret: str) -> bool:
    """Report whether the signature of a request is that of *secret*."""
    found = fields_of(entry)
    names = found.get("SignedHeaders", "").split(";")
    if "host" not in names or any(name not in entry.headers for name in names):
        return False
    path, _, query = entry.path.partition("?")
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in parse_qsl(query, keep_blank_values=True))
    if found["algorithm"] == "SDK-HMAC-SHA256" and not path.endswith("/"):
        path += "/"
    headers = "".join(f"{name}:{entry.headers[name].strip()}\n" for name in names)
    digest = hashlib.sha256(entry.body).hexdigest()
    text = f"{entry.method}\n{path}\n{'&'.join('='.join(pair) for pair in pairs)}\n{headers}\n{';'.join(names)}\n{digest}"
    hashed = hashlib.sha256(text.encode()).hexdigest()
    return hmac.compare_digest(_signature(entry, found, hashed, secret), found.get("Signature", ""))


def _signature(entry: Entry, found: dict[str, str], hashed: str, secret: str) -> str:
    match found["algorithm"]:
        case "AWS4-HMAC-SHA256":
            scope = found["Credential"].partition("/")[2]
            key = f"AWS4{secret}".encode()
            for part in scope.split("/"):
                key = _hmac(key, part)
            return _hmac(key, f"AWS4-HMAC-SHA256\n{entry.headers['x-amz-date']}\n{scope}\n{hashed}").hex()
        case "TC3-HMAC-SHA256":
            scope = found["Credential"].partition("/")[2]
            key = f"TC3{secret}".encode()
            for part in scope.split("/"):
                key = _hmac(key, part)
            return _hmac(key, f"TC3-HMAC-SHA256\n{entry.headers['x-tc-timestamp']}\n{scope}\n{hashed}").hex()
        case "ACS3-HMAC-SHA256":
            return _hmac(secret.encode(), f"ACS3-HMAC-SHA256\n{hashed}").hex()
        case "SDK-HMAC-SHA256":
            return _hmac(secret.encode(), f"SDK-HMAC-SHA256\n{entry.headers['x-sdk-date']}\n{hashed}").hex()
    return ""


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
