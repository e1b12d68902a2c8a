"""Who may use the registry port, as the configuration file spells it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from regproxy.config.client_tokens import InvalidTokens, parse_tokens
from regproxy.config.model import Model, Place, Whole
from regproxy.config.units import Filled, Network
from regproxy.config.upstream import Readable
from regproxy.policy.clients.htpasswd import parse_htpasswd

_MAX_FILE_BYTES = 16 * 1024 * 1024

Patterns: TypeAlias = tuple[Filled, ...]


def https_url(value: str) -> str:
    """Accept a URL of https, or of http on loopback, where nobody is on the way."""
    scheme, separator, rest = value.partition("://")
    host = rest.partition("/")[0].rpartition(":")[0] or rest.partition("/")[0]
    if not separator or not host or scheme not in {"http", "https"} or "@" in rest or any(each.isspace() for each in value):
        raise ValueError("is not a URL such as https://issuer.example")
    if scheme == "http" and host not in {"127.0.0.1", "localhost", "[::1]"}:
        raise ValueError("must be https: whoever is on the way could name other keys")
    return value.rstrip("/")


HttpsUrl: TypeAlias = Annotated[str, AfterValidator(https_url)]


def _users(value: Path) -> Path:
    try:
        found = parse_htpasswd(value.read_bytes()[:_MAX_FILE_BYTES])
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from None
    if not found.hashes:
        raise ValueError(f"has no user with a bcrypt hash ({found.complaints[0] if found.complaints else 'it is empty'})")
    return value


def _tokens(value: Path) -> Path:
    try:
        parse_tokens(value.read_bytes()[:_MAX_FILE_BYTES])
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from None
    except InvalidTokens as error:
        raise ValueError(f"cannot be used: {error}") from None
    return value


def _one_or_several(value: object) -> object:
    return [value] if isinstance(value, dict) else value


class JwtEntry(Model):
    """Tokens of one issuer (OpenID Connect): of Kubernetes service accounts, of a CI."""

    issuer: HttpsUrl = Field(description="`iss` of the tokens, and where `/.well-known/openid-configuration` names its keys.")
    audience: Filled = Field(description="`aud` of the tokens: what they were issued for.")
    subjects: Annotated[Patterns, Field(min_length=1)] = Field(
        default=("*",), description="`sub` of the tokens that count; an issuer that serves everybody, as GitHub, needs them."
    )
    allow: Patterns | None = Field(default=None, description="As `clients.htpasswd_allow`, for all of these tokens. None: see `access`.")
    keys: HttpsUrl | None = Field(default=None, description="The URL of the issuer's keys (JWKS). None: asked of the issuer.")
    ca: Readable | None = Field(default=None, description="Authorities that the issuer is known by, a PEM file. None: the system's.")
    token_file: Whole | None = Field(
        default=None, description="A token to ask for the keys with, such as a Pod's own at the API server of Kubernetes."
    )
    private_networks: frozenset[Network] = Field(default=frozenset(), description="Where the keys may lie beside public addresses.")


class CertificateEntry(Model):
    """Clients whose certificate `tls.client_ca` vouches for."""

    match: Filled = Field(default="*", description="The common name, or a DNS name or URI of the certificate; `*` matches anything.")
    allow: Patterns | None = Field(default=None, description="As `clients.htpasswd_allow`, for these clients. None: see `access`.")


JwtEntries: TypeAlias = Annotated[tuple[JwtEntry, ...], BeforeValidator(_one_or_several)]


class ClientsEntry(Model):
    """Who may use the registry port; each of these is a way to be somebody."""

    htpasswd: Annotated[Whole | None, AfterValidator(lambda value: value and _users(value))] = Field(
        default=None, description="Users with bcrypt hashes, as `htpasswd -B` writes them."
    )
    htpasswd_allow: dict[Filled, Patterns] = Field(
        default={},
        description="What a user may pull: patterns of `registry/repository`. Who is not named goes by `access` of the upstream.",
    )
    tokens: Annotated[Whole | None, AfterValidator(lambda value: value and _tokens(value))] = Field(
        default=None, description="Tokens of at least 16 bytes: `name: {token: ..., allow: [...]}`, with `allow` as in `htpasswd_allow`."
    )
    jwt: JwtEntries = Field(default=(), description="Issuers of JWTs that count, or one of them.")
    certificates: tuple[CertificateEntry, ...] = Field(default=(), description="Clients by certificate; the first that matches counts.")
    anonymous: bool = Field(default=False, description="Serve those too who do not log in.")

    @property
    def takes_secrets(self) -> bool:
        """Whether clients send something that others must not see."""
        return self.htpasswd is not None or self.tokens is not None or bool(self.jwt)

    @model_validator(mode="after")
    def _somebody(self) -> "ClientsEntry":
        if not self.takes_secrets and not self.certificates and not self.anonymous:
            raise ValueError("names nobody: htpasswd, tokens, jwt or certificates says who may pull")
        return self

    def contradictions(self) -> Iterator[tuple[Place, str]]:
        if self.htpasswd_allow and self.htpasswd is None:
            yield ("clients", "htpasswd_allow"), "is for the users of htpasswd, and there is no such file"
