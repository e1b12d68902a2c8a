"""What a single value may look like: addresses, durations, host names, URLs, networks.

Every `ValueError` here is a predicate, such as "is not a duration": whoever reports it knows the value and whether it may be shown.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Annotated, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

from regproxy.oci.digest import Digest, InvalidDigest
from regproxy.oci.http.authority import Authority
from regproxy.oci.reference import is_name
from regproxy.policy.credential import Credential, Secret
from regproxy.policy.upstream.transport import Proxy

_SECONDS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_BYTES = {"TiB": 2**40, "GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "B": 1}
_DECIMAL = {"TB": 10**12, "GB": 10**9, "MB": 10**6, "kB": 10**3, "KB": 10**3}
_SIZE = re.compile(rf"(\d+(?:\.\d+)?) ?({'|'.join([*_BYTES, *_DECIMAL])})")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d+)?)%")
_LABEL = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"  # RFC 1123, and the _ that container networks allow
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # POSIX, 8.1
_PORT = re.compile(r"\d{1,5}")
_LAST_PORT = 65_535
_DATABASE = re.compile(r"/?|/\d{1,5}")
_REDIS_OPTIONS = frozenset({"db", "username", "password", "ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "client_name"})
_MAX_KEYS = 2
_MIN_KEY_BYTES = 32
_MIN_SIGNS = 8  # different ones: a key of one letter is long, and no secret
_WHOLE = 100


EVERYWHERE = "*"  # the host of an address: all interfaces, of both families


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; the host `*` is all interfaces, IPv4 and IPv6. Port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def is_loopback(self) -> bool:
        """Report whether only this machine reaches it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def from_here(self) -> "Address":
        """Return the address that reaches it from this machine, also where it is all interfaces."""
        return Address({"0.0.0.0": "127.0.0.1", EVERYWHERE: "127.0.0.1", "::": "::1"}.get(self.host, self.host), self.port)


def address(value: object) -> Address:
    if isinstance(value, Address):
        return value
    host, _, port = str(value).rpartition(":")
    if (host != EVERYWHERE and not _is_host(host)) or not _is_port(port):
        raise ValueError("is not an address such as 0.0.0.0:5000, [::]:5000 or *:5000")
    return Address(host.strip("[]"), int(port))


def seconds(value: object) -> float:
    if isinstance(value, int | float):
        return float(value)
    found = _DURATION.fullmatch(str(value))
    if not found:
        raise ValueError("is not a duration such as 250ms, 5s, 5m, 12h or 7d")
    return float(found[1]) * _SECONDS[found[2]]


def duration_text(duration: float) -> str:
    """Write seconds in the largest unit that needs no fraction."""
    whole = ((duration / size, unit) for unit, size in _SECONDS.items() if duration >= size and (duration / size).is_integer())
    count, unit = next(whole, (duration, "s"))
    return f"{int(count) if count.is_integer() else count}{unit}"


def size(value: object) -> int:
    if isinstance(value, int):
        return value
    found = _SIZE.fullmatch(str(value))
    if not found:
        raise ValueError("is not a size such as 512MiB, 200GiB, 200GB or 2TiB")
    if not (count := int(float(found[1]) * (_BYTES | _DECIMAL)[found[2]])):
        raise ValueError("leaves room for nothing")
    return count


def size_text(value: int) -> str:
    """Write bytes in the largest unit that needs no fraction."""
    count, unit = next((value // each, unit) for unit, each in _BYTES.items() if value % each == 0)
    return f"{count}{unit}"


def size_shown(value: int) -> str:
    """Write bytes for people to read, as a size may be given: 1.5GiB."""
    count, unit = next((value / each, unit) for unit, each in _BYTES.items() if value >= each or unit == "B")
    return f"{count:.0f}{unit}" if unit == "B" else f"{count:.1f}{unit}"


def share(value: object) -> float:
    if isinstance(value, float):
        return value
    found = _PERCENT.fullmatch(str(value))
    if not found or not 0 < float(found[1]) <= _WHOLE:
        raise ValueError("is not a percentage such as 85%")
    return float(found[1]) / _WHOLE


def share_text(value: float) -> str:
    return f"{value * _WHOLE:g}%"


def size_or_share(value: object) -> int | float:
    return share(value) if isinstance(value, float) or str(value).endswith("%") else size(value)


def size_or_share_text(value: float) -> str:
    return share_text(value) if isinstance(value, float) else size_text(value)


def host_name(value: str) -> str:
    """Accept a host name with an optional port, in the one spelling by which it will be looked up."""
    host, colon, port = ("", "", "") if value.endswith("]") else value.rpartition(":")
    if not _is_host(host if colon else value) or (colon and not _is_port(port)):
        raise ValueError("is not a host name in lower case, with an optional :port")
    if port in {"80", "443"} and colon:
        raise ValueError("must be written without the default ports :80 and :443")
    found = Authority.parse(value)
    return str(found.rooted()) if found is not None else value


def server_name(value: str) -> str:
    """Accept a host name or an IP address without a port, in the spelling of a `Host` header; IPv6 with or without brackets."""
    bare = value.strip("[]")
    try:
        return str(ip_address(bare))
    except ValueError:
        pass
    if not _HOST.fullmatch(value.lower()):
        raise ValueError("is not a host name or an IP address without a port, such as regproxy.example")
    return value.lower().removesuffix(".")


def origin(value: str) -> str:
    """Accept `http(s)://host[:port]`; a final slash is dropped."""
    form = "must be http:// or https:// and a host, such as https://mirror.example.cn:5000"
    try:
        parts = urlsplit(value.lower())
        port = parts.port
    except ValueError:
        raise ValueError(form) from None
    if "@" in parts.netloc:
        raise ValueError("must not carry a user name or password: they belong under credentials")
    host = parts.netloc.removesuffix(f":{port}") if port is not None else parts.netloc
    if parts.scheme not in {"http", "https"} or not _is_host(host) or port == 0:
        raise ValueError(form)
    if parts.path not in {"", "/"} or "?" in value or "#" in value:
        raise ValueError("must not have a path, query or fragment (prefix is put in front of every repository)")
    return f"{parts.scheme}://{parts.netloc}"


def proxy(value: str | Proxy) -> Proxy:
    """Accept `http(s)://[user:password@]host[:port]`; what stands before the last @ may have any sign in it, `%` escapes included."""
    if isinstance(value, Proxy):
        return value
    scheme, separator, rest = value.partition("://")
    user_info, at, place = rest.rpartition("@")
    url = origin(f"{scheme}{separator}{place}")
    if not at:
        return Proxy(url)
    user, _, password = user_info.partition(":")
    if not user:
        raise ValueError("has no user name before its password")
    return Proxy(url, Credential(unquote(user), Secret(unquote(password))))


def redis_url(value: str) -> str:
    form = "must be redis://, rediss:// or unix://, such as redis://127.0.0.1:6379/0"
    try:
        parts = urlsplit(value)
        port, options = parts.port, parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError(form) from None
    is_socket = parts.scheme == "unix"
    if parts.scheme not in {"redis", "rediss", "unix"} or parts.fragment or not (parts.path if is_socket else parts.hostname) or port == 0:
        raise ValueError(form)
    if not is_socket and not _DATABASE.fullmatch(parts.path):
        raise ValueError("must end in the number of a database, such as /0, or in none")
    if unknown := sorted(set(options) - _REDIS_OPTIONS):
        if "@" in parts.query:
            raise ValueError("has a password with a ? in it, which is written %3F")
        raise ValueError(f"has unknown options: {', '.join(each[:40] for each in unknown)}")
    return value


def keys(value: str) -> str:
    """Accept a shared key, or two of them separated by a comma while one is rotated out, none of which can be guessed."""
    found = filled(value).split(",")
    if len(found) > _MAX_KEYS:
        raise ValueError("is more than two keys: one, and another while it is rotated out")
    if any(len(key.strip().encode()) < _MIN_KEY_BYTES or len(set(key)) < _MIN_SIGNS for key in found):
        raise ValueError(f"is no key: {_MIN_KEY_BYTES} random bytes of text at least, such as `openssl rand -hex 32` writes")
    if len({key.strip() for key in found}) < len(found):
        raise ValueError("is the same key twice: one, and another while it is rotated out")
    return value


def without_password(url: str) -> str:
    """Write a URL so that it may be shown; a query may hold a password too."""
    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    name, colon, _ = user.rpartition(":")  # without a password, a user may be one that was put in the wrong place
    shown = f"{name.partition(':')[0]}{colon}***@{place}" if at else place
    return parts._replace(netloc=shown, query="***" if parts.query else "").geturl()


def network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError as error:
        reason = ", without host bits" if "host bits" in str(error) else ""
        raise ValueError(f"is not a network such as 10.0.0.0/8 or fd00::/8{reason}") from None


def repository_prefix(value: str) -> str:
    if value and not is_name(value):
        raise ValueError("is not the beginning of a repository name, such as dockerhub or mirrors/dockerhub")
    return value


def content_digest(value: str) -> str:
    try:
        return str(Digest.parse(value))
    except InvalidDigest:
        raise ValueError("is not a digest such as sha256:2cf2...") from None


def filled(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


def variable_name(value: str) -> str:
    if not _VARIABLE.fullmatch(value):
        raise ValueError("is not the name of an environment variable")
    return value


def _is_host(text: str) -> bool:
    if text.startswith("[") and text.endswith("]"):
        try:
            IPv6Address(text[1:-1])
        except ValueError:
            return False
        return True
    return _HOST.fullmatch(text) is not None


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text) <= _LAST_PORT


Listening: TypeAlias = Annotated[Address, BeforeValidator(address), PlainSerializer(str)]
Seconds: TypeAlias = Annotated[float, BeforeValidator(seconds), PlainSerializer(duration_text)]
Size: TypeAlias = Annotated[int, BeforeValidator(size), PlainSerializer(size_text)]
Share: TypeAlias = Annotated[float, BeforeValidator(share), PlainSerializer(share_text)]
SizeOrShare: TypeAlias = Annotated[int | float, BeforeValidator(size_or_share), PlainSerializer(size_or_share_text)]
HostName: TypeAlias = Annotated[str, AfterValidator(host_name)]
ServerName: TypeAlias = Annotated[str, AfterValidator(server_name)]
Origin: TypeAlias = Annotated[str, AfterValidator(origin)]
ProxyUrl: TypeAlias = Annotated[Proxy, BeforeValidator(proxy)]
Keys: TypeAlias = Annotated[str, AfterValidator(keys)]
RedisUrl: TypeAlias = Annotated[str, AfterValidator(redis_url)]
Network: TypeAlias = Annotated[str, AfterValidator(network)]
Prefix: TypeAlias = Annotated[str, AfterValidator(repository_prefix)]
ContentDigest: TypeAlias = Annotated[str, AfterValidator(content_digest)]
VariableName: TypeAlias = Annotated[str, AfterValidator(variable_name)]
Filled: TypeAlias = Annotated[str, AfterValidator(filled)]
