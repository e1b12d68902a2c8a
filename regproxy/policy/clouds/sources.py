"""Where a credential comes from that ends: settings of one host, with everything that the environment adds."""

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import ClassVar, TypeAlias

from regproxy.policy.clouds.signing import AccessKey
from regproxy.policy.credential import Secret


@dataclass(frozen=True, slots=True)
class Provider:
    """A program that speaks the kubelet's credential provider protocol; *servers* are names of the registry, that of its images first."""

    kind: ClassVar[str] = "provider"  # as the configuration names it
    command: str
    servers: tuple[str, ...]
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, Secret], ...] = ()
    match_images: tuple[str, ...] = ()
    default_cache_duration: float = 0.0  # seconds


class AwsIdentity(Enum):
    """Who we are to AWS, and who vouches for it."""

    KEYS = "keys"
    WEB_IDENTITY = "web_identity"
    POD_IDENTITY = "pod_identity"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class Ecr:
    """A registry of Amazon ECR; what does not belong to its *identity* is empty."""

    kind: ClassVar[str] = "ecr"
    identity: AwsIdentity
    region: str
    endpoint: str
    sts_endpoint: str = ""
    key: AccessKey | None = None
    role_arn: str = ""
    token_file: Path | None = None
    credentials_url: str = ""
    metadata_endpoint: str = ""


class GoogleIdentity(Enum):
    """Who we are to Google Cloud."""

    METADATA = "metadata"
    FEDERATION = "federation"


@dataclass(frozen=True, slots=True)
class Google:
    """A registry of Google Cloud; what does not belong to its *identity* is empty."""

    kind: ClassVar[str] = "google"
    identity: GoogleIdentity
    service_account: str = ""
    metadata_endpoint: str = ""
    config_file: Path | None = None


class AzureIdentity(Enum):
    """Who we are to Microsoft Entra ID."""

    MANAGED = "managed"
    WORKLOAD = "workload"


@dataclass(frozen=True, slots=True)
class Azure:
    """A registry of Azure; what does not belong to its *identity* is empty."""

    kind: ClassVar[str] = "azure"
    identity: AzureIdentity
    resource: str
    client_id: str = ""
    tenant_id: str = ""
    token_file: Path | None = None
    authority: str = ""
    metadata_endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Aliyun:
    """A registry of Aliyun: of an enterprise by its *instance_id*, or else personal."""

    kind: ClassVar[str] = "aliyun"
    region: str
    endpoint: str
    key: AccessKey
    instance_id: str = ""


@dataclass(frozen=True, slots=True)
class Tencent:
    """An instance of Tencent Container Registry."""

    kind: ClassVar[str] = "tencent"
    region: str
    registry_id: str
    endpoint: str
    key: AccessKey


class HuaweiLogin(Enum):
    """Which login of SWR is made."""

    LONG_TERM = "long_term"
    TEMPORARY = "temporary"


@dataclass(frozen=True, slots=True)
class Huawei:
    """A registry of Huawei Cloud SWR; *project* is a region, or a project of one."""

    kind: ClassVar[str] = "huawei"
    login: HuaweiLogin
    project: str
    key: AccessKey
    endpoint: str = ""
    project_id: str = ""


@dataclass(frozen=True, slots=True)
class GithubApp:
    """An installation of a GitHub App."""

    kind: ClassVar[str] = "github_app"
    app_id: str
    installation_id: str
    private_key: Path
    endpoint: str


CloudSource: TypeAlias = Ecr | Google | Azure | Aliyun | Tencent | Huawei | GithubApp
CredentialSource: TypeAlias = Provider | CloudSource


def fingerprint(source: CloudSource, host: str) -> Secret:
    """Return what distinguishes the credentials of a source from all others, to those who share them; no secret can be read in it."""
    text = json.dumps([source.kind, host, asdict(source)], default=str, sort_keys=True)
    return Secret(f"credential {hashlib.sha256(text.encode()).hexdigest()}")
