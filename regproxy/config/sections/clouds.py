"""Credentials that clouds issue, as the configuration file spells them: one mapping for each cloud, under `credentials`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from regproxy.config.model import Model, Whole
from regproxy.config.sections.cloud_types import Endpoint, Metadata, agent, needed
from regproxy.config.units import Filled
from regproxy.policy.clouds import aws
from regproxy.policy.clouds.google import Federation, InvalidFederation
from regproxy.policy.clouds.signing import AccessKey
from regproxy.policy.clouds.sources import AwsIdentity, Azure, AzureIdentity, Ecr, Google, GoogleIdentity
from regproxy.policy.credential import Secret

_LINK_LOCAL = "http://169.254.169.254"  # of AWS, Google and Azure alike
# Authority and audience of Azure's clouds (learn.microsoft.com: ContainerRegistryAudience, "National clouds").
_PUBLIC = ("https://login.microsoftonline.com", "https://containerregistry.azure.net")
_SOVEREIGN = {
    ".azurecr.cn": ("https://login.chinacloudapi.cn", "https://management.chinacloudapi.cn"),
    ".azurecr.us": ("https://login.microsoftonline.us", "https://management.usgovcloudapi.net"),
}
_KEYS, _WEB, _POD, _INSTANCE = AwsIdentity.KEYS, AwsIdentity.WEB_IDENTITY, AwsIdentity.POD_IDENTITY, AwsIdentity.INSTANCE


class EcrEntry(Model):
    """Passwords of Amazon ECR."""

    identity: AwsIdentity = Field(
        description="Who asks: keys, a service account (web_identity: IRSA; pod_identity: EKS Pod Identity), or the role of this instance."
    )
    region: Filled | None = Field(default=None, description="None: as the host's name says.")
    access_key_id: Annotated[Filled | None, needed(_KEYS, variables={_KEYS: "AWS_ACCESS_KEY_ID"})] = Field(
        default=None, description="keys: None: `AWS_ACCESS_KEY_ID` of the environment."
    )
    secret_access_key: Annotated[Filled | None, needed(_KEYS, variables={_KEYS: "AWS_SECRET_ACCESS_KEY"})] = Field(
        default=None, repr=False, description="keys: None: `AWS_SECRET_ACCESS_KEY` of the environment."
    )
    session_token: Annotated[Filled | None, needed(_KEYS, variables={_KEYS: "AWS_SESSION_TOKEN"}, is_optional=True)] = Field(
        default=None,
        repr=False,
        description="keys: for keys that are temporary. None: `AWS_SESSION_TOKEN` of the environment, if it is set.",
    )
    role_arn: Annotated[Filled | None, needed(_WEB, variables={_WEB: "AWS_ROLE_ARN"})] = Field(
        default=None, description="web_identity: None: `AWS_ROLE_ARN` of the environment, as EKS sets it."
    )
    token_file: Annotated[
        Whole | None, needed(_WEB, _POD, variables={_WEB: "AWS_WEB_IDENTITY_TOKEN_FILE", _POD: "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"})
    ] = Field(
        default=None,
        description="web_identity, pod_identity: the service account's token. None: as EKS sets it in the environment, "
        "`AWS_WEB_IDENTITY_TOKEN_FILE` or `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`.",
    )
    credentials_url: Annotated[
        Filled | None, needed(_POD, variables={_POD: "AWS_CONTAINER_CREDENTIALS_FULL_URI"}), AfterValidator(agent)
    ] = Field(
        default=None, description="pod_identity: the agent. None: `AWS_CONTAINER_CREDENTIALS_FULL_URI` of the environment, as EKS sets it."
    )
    endpoint: Endpoint | None = Field(default=None, description="None: `https://api.ecr.REGION.amazonaws.com`, in China `.com.cn`.")
    sts_endpoint: Annotated[Endpoint | None, needed(_WEB, is_optional=True)] = Field(
        default=None, description="web_identity: None: `https://sts.REGION.amazonaws.com`, in China `.com.cn`."
    )
    metadata_endpoint: Annotated[Metadata | None, needed(_INSTANCE, is_optional=True)] = Field(
        default=None, description=f"instance: None: `{_LINK_LOCAL}`."
    )

    def source(self, host: str) -> Ecr:
        place = aws.place_in(self.region) if self.region else aws.place_of(host)  # None: of a pattern, whose registries tell it
        key = None
        if self.access_key_id and self.secret_access_key:
            key = AccessKey(self.access_key_id, Secret(self.secret_access_key), Secret(self.session_token) if self.session_token else None)
        return Ecr(
            identity=self.identity,
            region=place.region if place else "",
            endpoint=self.endpoint or (place.ecr if place else ""),
            sts_endpoint=self.sts_endpoint or (place.sts if place and self.identity is _WEB else ""),
            key=key,
            role_arn=self.role_arn or "",
            token_file=Path(self.token_file) if self.token_file else None,
            credentials_url=self.credentials_url or "",
            metadata_endpoint=(self.metadata_endpoint or _LINK_LOCAL) if self.identity is _INSTANCE else "",
        )

    def unplaced(self, host: str) -> Iterator[tuple[str, str]]:
        """Find what the name of *host* does not tell."""
        if self.region is None and aws.place_of(host) is None:
            yield "region", f"is missing: {host} is not a name of ECR that tells it"


def _federation(value: Path | str | None) -> Path | None:
    """Read the file at the start: what is wrong in it is wrong later, too."""
    if value is None:
        return None
    try:
        Federation.parse(Path(value).read_bytes())
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from None
    except InvalidFederation as error:
        raise ValueError(str(error)) from None
    return Path(value)


_METADATA, _FEDERATION = GoogleIdentity.METADATA, GoogleIdentity.FEDERATION
_SERVICE_ACCOUNT = re.compile(r"default|[a-z0-9._-]+@[a-z0-9.-]+")


def _service_account(value: str | None) -> str | None:
    if value is not None and not _SERVICE_ACCOUNT.fullmatch(value):
        raise ValueError("is not default, or the e-mail address of a service account")
    return value


class GoogleEntry(Model):
    """Access tokens of Google Cloud, for Artifact Registry and gcr.io."""

    identity: GoogleIdentity = Field(
        description="Who asks: the service account of this machine or Pod (metadata: GKE Workload Identity), or one of another identity "
        "provider (federation: workload identity federation)."
    )
    service_account: Annotated[Filled | None, needed(_METADATA, is_optional=True), AfterValidator(_service_account)] = Field(
        default=None, description="metadata: None: `default`."
    )
    metadata_endpoint: Annotated[Metadata | None, needed(_METADATA, is_optional=True)] = Field(
        default=None, description=f"metadata: None: `{_LINK_LOCAL}`."
    )
    config_file: Annotated[
        Whole | None, needed(_FEDERATION, variables={_FEDERATION: "GOOGLE_APPLICATION_CREDENTIALS"}), AfterValidator(_federation)
    ] = Field(
        default=None,
        description="federation: the file that `gcloud iam workload-identity-pools create-cred-config` writes, for a token in a file. "
        "None: `GOOGLE_APPLICATION_CREDENTIALS` of the environment.",
    )

    def source(self, host: str) -> Google:  # noqa: ARG002 -- it is the same for all hosts
        is_metadata = self.identity is _METADATA
        return Google(
            identity=self.identity,
            service_account=(self.service_account or "default") if is_metadata else "",
            metadata_endpoint=(self.metadata_endpoint or _LINK_LOCAL) if is_metadata else "",
            config_file=self.config_file,
        )

    def unplaced(self, host: str) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        yield from ()


_MANAGED, _WORKLOAD = AzureIdentity.MANAGED, AzureIdentity.WORKLOAD


class AzureEntry(Model):
    """Refresh tokens of Azure Container Registry."""

    identity: AzureIdentity = Field(
        description="Who asks: the managed identity of this machine (managed), or a Kubernetes service account (workload: Microsoft Entra "
        "Workload ID)."
    )
    client_id: Annotated[Filled | None, needed(_WORKLOAD, _MANAGED, variables={_WORKLOAD: "AZURE_CLIENT_ID"}, is_optional=True)] = Field(
        default=None, description="The identity, where there are several. workload: None: `AZURE_CLIENT_ID` of the environment."
    )
    tenant_id: Annotated[Filled | None, needed(_WORKLOAD, _MANAGED, variables={_WORKLOAD: "AZURE_TENANT_ID"}, is_optional=True)] = Field(
        default=None, description="The tenant of the registry. workload: None: `AZURE_TENANT_ID` of the environment."
    )
    token_file: Annotated[Whole | None, needed(_WORKLOAD, variables={_WORKLOAD: "AZURE_FEDERATED_TOKEN_FILE"})] = Field(
        default=None, description="workload: the service account's token. None: `AZURE_FEDERATED_TOKEN_FILE` of the environment."
    )
    authority: Annotated[Endpoint | None, needed(_WORKLOAD, is_optional=True)] = Field(
        default=None, description="workload: None: `https://login.microsoftonline.com`, or that of the host's sovereign cloud."
    )
    resource: Filled | None = Field(
        default=None, description="The audience. None: `https://containerregistry.azure.net`, or that of the host's sovereign cloud."
    )
    metadata_endpoint: Annotated[Metadata | None, needed(_MANAGED, is_optional=True)] = Field(
        default=None, description=f"managed: None: `{_LINK_LOCAL}`."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> "AzureEntry":
        for name in ("client_id", "tenant_id"):
            if self.identity is _WORKLOAD and getattr(self, name) is None:
                raise ValueError(f"{name} is missing: write it, or set AZURE_{name.upper()} in the environment")
        return self

    def source(self, host: str) -> Azure:
        authority, resource = next((found for end, found in _SOVEREIGN.items() if host.endswith(end)), _PUBLIC if host else ("", ""))
        return Azure(
            identity=self.identity,
            resource=self.resource or resource,
            client_id=self.client_id or "",
            tenant_id=self.tenant_id or "",
            token_file=Path(self.token_file) if self.token_file else None,
            authority=(self.authority or authority) if self.identity is _WORKLOAD else "",
            metadata_endpoint=(self.metadata_endpoint or _LINK_LOCAL) if self.identity is _MANAGED else "",
        )

    def unplaced(self, host: str) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        yield from ()
