"""Images that have to be signed, as the configuration file spells it."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from regproxy.config.model import Model
from regproxy.config.units import Filled
from regproxy.policy.requirement import Identity, Requirement, RequireMode
from regproxy.trust.keys import MAX_KEY_FILE_BYTES, parse_keys

_ANYBODY = "https://anybody.example/9f2c41"  # a name that no pattern is made for


def _repositories(value: str) -> str:
    if ":" in value or "@" in value:
        raise ValueError("matches repositories, with no tag or digest: a rule for tags would not hold for pulls by digest")
    return value


def _checked(value: str, most: int, parse: Callable[[bytes], object]) -> str:
    """Return where a file lies that *parse* understands; it raises `ValueError` for what is wrong, more than *most* bytes among it."""
    try:
        with Path(value).open("rb") as file:
            parse(file.read(most + 1))
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise ValueError(f"cannot be used: {error}") from None
    return str(Path(value).absolute())


def _key_file(value: str) -> str:
    return _checked(value, MAX_KEY_FILE_BYTES, parse_keys)


def _needs_extra(package: str) -> None:
    if find_spec(package) is None:
        raise ValueError("needs more packages: pip install 'regproxy[sigstore]'")


def _pattern(value: str) -> str:
    _needs_extra("re2")
    from regproxy.trust.patterns import Pattern  # noqa: PLC0415  an extra

    Pattern(value)
    return value


def _matches_anybody(pattern: str) -> bool:
    from regproxy.trust.patterns import Pattern  # noqa: PLC0415  an extra

    return Pattern(pattern).matches(_ANYBODY)


def _trust_root(value: str) -> str:
    _needs_extra("sigstore")
    from regproxy.trust.keyless import MAX_TRUST_ROOT_BYTES, KeylessVerifier  # noqa: PLC0415  an extra

    return _checked(value, MAX_TRUST_ROOT_BYTES, lambda text: KeylessVerifier(text, [Identity("https://issuer.example", "nobody")]))


NamePattern: TypeAlias = Annotated[Filled, AfterValidator(_pattern)]


class IdentityEntry(Model):
    """A signer without a key of its own (keyless)."""

    issuer: Filled | None = Field(
        default=None, description="Who vouched for the signer, such as `https://token.actions.githubusercontent.com`."
    )
    issuer_regexp: NamePattern | None = Field(
        default=None,
        description="In place of `issuer`: an RE2 pattern, as cosign's `--certificate-oidc-issuer-regexp` takes it, of the whole name.",
    )
    subject: Filled | None = Field(default=None, description="Whom it vouched for, as the certificate names it.")
    subject_regexp: NamePattern | None = Field(
        default=None,
        description="In place of `subject`: an RE2 pattern of a whole email address or URI, as `--certificate-identity-regexp` takes it,"
        " such as `https://github\\.com/our-organization/[^/]+/\\.github/workflows/release\\.yml@refs/tags/v.*`.",
    )

    @model_validator(mode="after")
    def _both_names(self) -> "IdentityEntry":
        for name in ("issuer", "subject"):
            if (getattr(self, name) is None) == (getattr(self, f"{name}_regexp") is None):
                raise ValueError(f"needs one of {name} and {name}_regexp")
        if self.issuer_regexp and self.subject_regexp and _matches_anybody(self.issuer_regexp) and _matches_anybody(self.subject_regexp):
            raise ValueError("matches anybody: say whom to trust by one of the two patterns at least")
        return self

    def identity(self) -> Identity:
        issuer, subject = self.issuer or self.issuer_regexp or "", self.subject or self.subject_regexp or ""
        return Identity(issuer, subject, self.issuer is None, self.subject is None)


KeyFile: TypeAlias = Annotated[str, AfterValidator(_key_file)]


class RequireEntry(Model):
    """The rule for some repositories: what is served has to be signed."""

    match: Annotated[Filled, AfterValidator(_repositories)] = Field(
        default="*", description="Matched against the repository as upstream names it; `*` matches anything. The first rule counts."
    )
    keys: tuple[KeyFile, ...] = Field(
        default=(), description="Files with public keys in PEM, such as `cosign.pub`. A signature by one of them will do."
    )
    identities: tuple[IdentityEntry, ...] = Field(
        default=(),
        description="Signers without keys; a bundle by one of them will do as well. Needs `trust_root` and `regproxy[sigstore]`.",
    )
    trust_root: Annotated[str, AfterValidator(_trust_root)] | None = Field(
        default=None, description="The authorities and logs that vouch for `identities`: a `trusted_root.json` of sigstore."
    )
    mode: RequireMode = Field(default=RequireMode.ENFORCE, description="`enforce`: 403. `warn`: served with a warning.")

    @model_validator(mode="after")
    def _somebody(self) -> "RequireEntry":
        if not self.keys and not self.identities:
            raise ValueError("names nobody: keys or identities say who may sign")
        if bool(self.identities) != (self.trust_root is not None):
            raise ValueError("needs identities and trust_root together: one says who may sign, the other who vouches for them")
        return self

    def requirement(self) -> Requirement:
        identities = tuple(each.identity() for each in self.identities)
        return Requirement(self.match, self.keys, identities, self.trust_root, self.mode)
