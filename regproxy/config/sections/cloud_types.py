"""What settings of clouds have in common: where secrets may be sent, and what goes with which identity."""

import re
from collections.abc import Mapping
from enum import Enum
from ipaddress import ip_address
from typing import Annotated, Any, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from regproxy.config.model import Model
from regproxy.config.units import Filled, Origin, origin
from regproxy.policy.clouds.signing import AccessKey
from regproxy.policy.credential import Secret

_LINK_LOCAL_AGENTS = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23"})  # AWS SDKs: what may be asked by plain http


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _confidential(value: str) -> str:
    """A service that is sent secrets is known by its certificate, or is on this machine."""
    if not value.startswith("https://") and not _is_loopback(_host(value)):
        raise ValueError("must be https: secrets are sent there")
    return value


def _metadata(value: str) -> str:
    """A metadata service is at an address, which no name server can change."""
    try:
        ip_address(_host(value))
    except ValueError:
        raise ValueError("must have an IP address for a host") from None
    return value


def _base(value: str) -> str:
    """Accept an URL of a service that may have a path."""
    scheme, _, rest = value.partition("://")
    host, slash, path = rest.partition("/")
    _confidential(origin(f"{scheme}://{host}"))
    if not re.fullmatch(r"[A-Za-z0-9/._-]*", path):
        raise ValueError("must not have a query or a fragment")
    return f"{scheme}://{host}{slash}{path}".rstrip("/")


def _number(value: object) -> str:
    """Accept a number, which YAML may have read as one."""
    if not str(value).isdecimal() or isinstance(value, bool):
        raise ValueError("is not a number")
    return str(value)


def agent(value: str | None) -> str | None:
    if value is None or value.startswith("https://") or _is_loopback(_host(value)) or _host(value) in _LINK_LOCAL_AGENTS:
        return value
    raise ValueError(f"must be https, or at {' or '.join(sorted(_LINK_LOCAL_AGENTS))}: a token is sent there")


Endpoint: TypeAlias = Annotated[Origin, AfterValidator(_confidential)]
UrlWithPath: TypeAlias = Annotated[str, AfterValidator(_base)]
Number: TypeAlias = Annotated[str, BeforeValidator(_number)]
Metadata: TypeAlias = Annotated[Origin, AfterValidator(_metadata)]


def needed(*identities: Enum, variables: Mapping[Enum, str] | None = None, is_optional: bool = False) -> AfterValidator:
    """Take a value with any of *identities* alone, by default from the environment: which of *variables* has it depends on the identity."""

    def check(value: Any, found: ValidationInfo) -> Any:  # noqa: ANN401 -- of any field
        chosen = found.data.get("identity")
        if chosen not in identities:
            if value is not None and chosen is not None:
                raise ValueError(f"goes with identity: {' or '.join(each.value for each in identities)}")
            return None
        variable = (variables or {}).get(chosen, "")
        environ = (found.context or {}).get("environ", {})
        value = value if value is not None else environ.get(variable) or None
        if value is None and not is_optional:
            raise ValueError(f"is missing: write it, or set {variable} in the environment" if variable else "is missing")
        return value

    return AfterValidator(check)


class KeyEntry(Model):
    """A key of an account, as every cloud has it."""

    access_key_id: Filled = Field(description="The id of a key: AccessKey ID, SecretId, AK.")
    secret_access_key: Filled = Field(repr=False, description="The secret of that key: AccessKey Secret, SecretKey, SK.")
    session_token: Filled | None = Field(default=None, repr=False, description="For a key that is temporary, which is not renewed here.")

    @property
    def key(self) -> AccessKey:
        return AccessKey(self.access_key_id, Secret(self.secret_access_key), Secret(self.session_token) if self.session_token else None)
