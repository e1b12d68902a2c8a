"""Who may tell that something was pushed, as the configuration file spells it."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from regproxy.config.model import Model, Place, Whole
from regproxy.config.sections.admin import secret_text
from regproxy.config.units import Address, HostName
from regproxy.policy.clients.token_bucket import Rate
from regproxy.policy.credential import Secret
from regproxy.policy.hooks.sources import Hook, Source
from regproxy.policy.upstream.patterns import Patterns, is_pattern

_MAX_FILE_BYTES = 4096


class HookRate(Model):
    """How often a hook has upstream asked."""

    per_second: Annotated[float, Field(gt=0)] = Field(default=2.0, description="Looks a second, or images of a preheat driver.")
    burst: Annotated[int, Field(ge=1)] = Field(default=50, description="How many at once, after a quiet time.")

    def rate(self) -> Rate:
        return Rate(self.per_second, self.burst)


class HookEntry(Model):
    """A registry that tells what was pushed, or Harbor's preheat driver."""

    source: Source = Field(description="Whose events these are, and so how they are read and shown to be theirs.")
    secret: Annotated[str, AfterValidator(secret_text)] | None = Field(
        default=None, repr=False, description="What the sender knows: 20 to 1,024 ASCII characters, such as `openssl rand -hex 32` prints."
    )
    secret_file: Whole | None = Field(default=None, description="A file with the secret instead, read at the start and at SIGHUP.")
    open: bool = Field(default=False, description="true: no secret; whoever reaches the admin port sends events. The log warns of it.")
    upstream: HostName | None = Field(
        default=None,
        description="Whose repositories are meant. None: those of the registry that an event names, where that is an upstream.",
    )
    rate: HookRate = HookRate()
    _secret: Secret | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _one_secret(self) -> "HookEntry":
        if [self.secret is not None, self.secret_file is not None, self.open].count(True) != 1:
            raise ValueError("needs a secret or a secret_file, and one of them only; open: true takes events from anybody")
        value = self.secret if self.secret_file is None else _read(self.secret_file)
        self._secret = None if value is None else Secret(value)
        return self

    def hook(self) -> Hook:
        return Hook(self.source, self._secret, self.upstream, self.rate.rate())

    def effective(self) -> dict[str, Any]:
        """Return the entry as the file would spell it, its secret hidden."""
        return {**self.model_dump(mode="json"), "secret": self.secret and "***"}


def hook_contradictions(
    entries: Sequence[HookEntry], upstreams: Collection[str], listen: Address, *, is_private: bool
) -> Iterator[tuple[Place, str]]:
    """Find what is wrong with hooks that are each right; *is_private* says that nobody reads secrets on their way to *listen*."""
    senders: dict[tuple[Source, str | None], int] = {}
    for number, entry in enumerate(entries):
        hook = entry.hook()
        if entry.upstream is not None and not _is_known(entry.upstream, upstreams):
            yield ("hooks", number, "upstream"), f"is not a configured upstream: {', '.join(sorted(upstreams))}"
        first = senders.setdefault((hook.source, hook.secret.value if hook.secret is not None else None), number)
        if first != number:
            yield ("hooks", number), f"cannot be told from hooks[{first}]: entries of one source need different secrets"
        if hook.secret is not None and not hook.source.signs and not is_private and not listen.is_loopback():
            sent = f"has a secret that would be sent to {listen} without TLS"
            yield ("hooks", number), f"{sent}: set admin_tls, or insecure_credentials: true"


def _is_known(name: str, upstreams: Collection[str]) -> bool:
    return name in upstreams or Patterns((each, True) for each in upstreams if is_pattern(each)).find(name) is not None


def _read(path: Path) -> str:
    try:
        value = path.read_bytes()[:_MAX_FILE_BYTES].decode("ascii").strip()
    except OSError as error:
        raise ValueError(f"has a secret_file that cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ValueError("has a secret_file that is not ASCII text") from None
    try:
        return secret_text(value)
    except ValueError as wrong:
        raise ValueError(f"has a secret_file whose content {wrong}") from None
