"""Who we are to an upstream: a password, a file of docker, or what issues a credential that ends."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from enum import Enum
from typing import Annotated, Any, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo

from regproxy.config.model import Model, Place, Whole
from regproxy.config.sections.clouds import AzureEntry, EcrEntry, GoogleEntry
from regproxy.config.sections.more_clouds import AliyunEntry, GithubAppEntry, HuaweiEntry, TencentEntry
from regproxy.config.sections.patterns import REGISTRY
from regproxy.config.units import Filled, Seconds, VariableName, duration_text
from regproxy.policy.clouds.signing import AccessKey
from regproxy.policy.clouds.sources import CredentialSource, Provider
from regproxy.policy.credential import Credential, DockerConfig, Secret

_DERIVED = frozenset({"servers"})  # of a source: not the configuration's to say
CLOUDS = ("ecr", "google", "azure", "aliyun", "tencent", "huawei", "github_app")
CloudEntry: TypeAlias = EcrEntry | GoogleEntry | AzureEntry | AliyunEntry | TencentEntry | HuaweiEntry | GithubAppEntry


def _alone(value: object, found: ValidationInfo) -> object:
    """Of what knows a credential there is one."""
    if value is not None and (other := _other(found)):
        raise ValueError(f"does not go with {other}: one of them knows the credential")
    return value


def _half(value: str | None, found: ValidationInfo) -> str | None:
    """A user name and a password go together, and not with what has its own."""
    other = _other(found)
    if value is None and not other:
        raise ValueError("is missing")
    if value is not None and other:
        raise ValueError(f"does not go with {other}, which has its own")
    return value


def _other(found: ValidationInfo) -> str:
    """Name what knows the credential, of the fields before; one that is wrong is not there, and is given all the same."""
    names = [name for name in CredentialEntry.model_fields if name not in {"username", "password", "helper_env"}]
    before = names[: names.index(found.field_name)] if found.field_name in names else names
    return next((name for name in before if found.data.get(name, "wrong") is not None), "")


def _with_file(value: dict[str, str], found: ValidationInfo) -> dict[str, str]:
    if value and found.data.get("docker_config") is None:
        raise ValueError("is for the helpers of a docker_config, and there is none")
    return value


def _whole(value: str) -> str:
    if value.startswith("~"):
        raise ValueError("must be written in full: ~ is not expanded here")
    return value


class ProviderEntry(Model):
    """A program that speaks the kubelet's credential provider protocol."""

    command: Annotated[Filled, AfterValidator(_whole)] = Field(
        description="The program, `/usr/local/bin/ecr-credential-provider`, or a name that is looked for in PATH."
    )
    args: tuple[str, ...] = Field(default=(), description="Its arguments. They can be seen in the list of processes: no secrets here.")
    env: dict[VariableName, str] = Field(
        default={}, repr=False, description="Environment variables, beside PATH and HOME; of our environment it gets nothing else."
    )
    match_images: tuple[Filled, ...] = Field(
        default=(),
        description="As matchImages of the kubelet: which images it is asked about, `*.dkr.ecr.*.amazonaws.com/team`. Empty: all.",
    )
    default_cache_duration: Seconds = Field(
        default=0.0,
        ge=0,
        description="As of the kubelet: how long a response without cacheDuration is kept. 0s: for the requests of one pull.",
    )

    def source(self, servers: Iterable[str]) -> Provider:
        env = tuple((name, Secret(value)) for name, value in self.env.items())
        return Provider(self.command, tuple(servers), self.args, env, self.match_images, self.default_cache_duration)


class CredentialEntry(Model):
    """A user of an upstream, or of one host."""

    docker_config: Whole | None = Field(default=None, description="A file of docker or podman with the credentials or their helpers.")
    provider: Annotated[ProviderEntry | None, AfterValidator(_alone)] = Field(
        default=None, description="A credential provider of the kubelet (credentialprovider.kubelet.k8s.io/v1)."
    )
    ecr: Annotated[EcrEntry | None, AfterValidator(_alone)] = Field(default=None, description="Passwords that Amazon ECR issues.")
    google: Annotated[GoogleEntry | None, AfterValidator(_alone)] = Field(default=None, description="Access tokens of Google Cloud.")
    azure: Annotated[AzureEntry | None, AfterValidator(_alone)] = Field(default=None, description="Refresh tokens of Azure's registries.")
    aliyun: Annotated[AliyunEntry | None, AfterValidator(_alone)] = Field(default=None, description="Temporary passwords of Aliyun.")
    tencent: Annotated[TencentEntry | None, AfterValidator(_alone)] = Field(default=None, description="Temporary passwords of Tencent.")
    huawei: Annotated[HuaweiEntry | None, AfterValidator(_alone)] = Field(default=None, description="Logins of Huawei Cloud SWR.")
    github_app: Annotated[GithubAppEntry | None, AfterValidator(_alone)] = Field(
        default=None, description="Tokens of a GitHub App, for ghcr.io."
    )
    username: Annotated[Filled | None, AfterValidator(_half)] = Field(
        default=None, description="Needs `password`; not with anything else that knows the credential."
    )
    password: Annotated[Filled | None, AfterValidator(_half)] = Field(
        default=None, repr=False, description="A password or an access token."
    )
    helper_env: Annotated[dict[VariableName, str], AfterValidator(_with_file)] = Field(
        default={}, repr=False, description="Environment variables for the helpers of `docker_config`, beside PATH and HOME."
    )

    def credential(self) -> Credential | None:
        return Credential(self.username, Secret(self.password)) if self.username and self.password else None

    def config(self, servers: Iterable[str]) -> DockerConfig | None:
        if self.docker_config is None:
            return None
        return DockerConfig(self.docker_config, tuple(servers), tuple((name, Secret(value)) for name, value in self.helper_env.items()))

    def source(self, servers: Iterable[str]) -> CredentialSource | None:
        """Return what issues the credential of a registry known by *servers*, the name of its images first, and last that of its host.

        The host of a pattern is none yet: its name tells nothing.
        """
        known = list(servers)
        if self.provider is not None:
            return self.provider.source(known)
        host = "" if REGISTRY in known[-1] else urlsplit(f"//{known[-1]}").hostname or ""
        return next((entry.source(host) for _, entry in self._clouds()), None)

    def unplaced(self, host: str) -> Iterator[tuple[Place, str]]:
        """Find what is missing because the name of *host* does not tell it."""
        for cloud, entry in self._clouds():
            yield from (((cloud, name), predicate) for name, predicate in entry.unplaced(host))

    def _clouds(self) -> Iterator[tuple[str, CloudEntry]]:
        yield from ((name, entry) for name in CLOUDS if (entry := getattr(self, name)) is not None)


def written_source(source: CredentialSource) -> Mapping[str, Any]:
    """Write a source in the words of the configuration file, secrets hidden."""
    found = {each.name: getattr(source, each.name) for each in fields(source) if each.name not in _DERIVED}
    key = found.pop("key", None)
    if isinstance(key, AccessKey):
        found |= {"access_key_id": key.id, "secret_access_key": key.secret, "session_token": key.token}
    return {source.kind: {name: _written(name, value) for name, value in found.items() if value not in (None, "")}}


def _written(name: str, value: object) -> Any:  # noqa: ANN401 -- a tree of YAML
    match value:
        case float():
            return duration_text(value)
        case tuple() if name == "env":
            return {key: str(secret) for key, secret in value}
        case tuple():
            return list(value)
        case Enum():
            return value.value
        case _:
            return str(value)
