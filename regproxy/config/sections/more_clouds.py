"""Credentials of Aliyun, Tencent, Huawei and GitHub Apps, as the configuration file spells them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from regproxy.config.model import Model, Whole
from regproxy.config.sections.cloud_types import Endpoint, KeyEntry, Number, UrlWithPath
from regproxy.config.units import Filled
from regproxy.policy.clouds import china
from regproxy.policy.clouds.sources import Aliyun, GithubApp, Huawei, HuaweiLogin, Tencent

_GITHUB = "https://api.github.com"
_TENCENT = "https://tcr.tencentcloudapi.com"


class AliyunEntry(KeyEntry):
    """Temporary passwords of Aliyun's Container Registry."""

    instance_id: Filled | None = Field(default=None, description="The instance of an enterprise, `cri-...`. None: the personal edition.")
    region: Filled | None = Field(default=None, description="None: as the host's name says.")
    endpoint: Endpoint | None = Field(
        default=None, description="None: `https://cr.REGION.aliyuncs.com`; within a VPC `https://cr-vpc.REGION...`."
    )

    def source(self, host: str) -> Aliyun:
        region = self.region or china.aliyun_region(host) or ""
        endpoint = self.endpoint or (f"https://cr.{region}.aliyuncs.com" if region else "")
        return Aliyun(region, endpoint, self.key, self.instance_id or "")

    def unplaced(self, host: str) -> Iterator[tuple[str, str]]:
        """Find what the name of *host* does not tell."""
        if self.region is None and china.aliyun_region(host) is None:
            yield "region", f"is missing: {host} is not a name of Aliyun's registries that tells it"


class TencentEntry(KeyEntry):
    """Temporary passwords of Tencent Container Registry."""

    registry_id: Filled = Field(description="The instance, `tcr-...`.")
    region: Filled = Field(description="Its region, `ap-guangzhou`.")
    endpoint: Endpoint = Field(default=_TENCENT, description="Of the API; `https://tcr.intl.tencentcloudapi.com` outside China.")

    def source(self, host: str) -> Tencent:  # noqa: ARG002 -- its name tells neither region nor instance
        return Tencent(self.region, self.registry_id, self.endpoint, self.key)

    def unplaced(self, host: str) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        yield from ()


class HuaweiEntry(KeyEntry):
    """Logins of Huawei Cloud SWR."""

    login: HuaweiLogin = Field(
        default=HuaweiLogin.LONG_TERM, description="long_term: made of the key, without a request. temporary: issued by SWR, for hours."
    )
    project: Filled | None = Field(default=None, description="The region, or a project of one. None: the region, as the host's name says.")
    project_id: Filled | None = Field(default=None, description="temporary: of a project that is not the region's own (X-Project-Id).")
    endpoint: Endpoint | None = Field(default=None, description="temporary: None: `https://swr-api.REGION.myhuaweicloud.com`.")

    def source(self, host: str) -> Huawei:
        region, domain = china.huawei_place(host) or ("", "")
        asked = self.endpoint or (f"https://swr-api.{region}.{domain}" if region else "")
        is_asked = self.login is HuaweiLogin.TEMPORARY
        return Huawei(self.login, self.project or region, self.key, asked if is_asked else "", self.project_id or "")

    def unplaced(self, host: str) -> Iterator[tuple[str, str]]:
        """Find what the name of *host* does not tell."""
        if china.huawei_place(host) is not None:
            return
        if self.project is None:
            yield "project", f"is missing: {host} is not a name of SWR that tells it"
        if self.login is HuaweiLogin.TEMPORARY and self.endpoint is None:
            yield "endpoint", f"is missing: {host} is not a name of SWR that tells it"


def _private_key(value: Path) -> Path:
    """Read the key at the start: what is wrong with it is wrong later, too."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415  9 MB that who has no such key does without
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        is_rsa = isinstance(load_pem_private_key(value.read_bytes(), None), RSAPrivateKey)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError):
        is_rsa = False
    if not is_rsa:
        raise ValueError("is not an RSA private key in PEM form, without a password")
    return value


class GithubAppEntry(Model):
    """Tokens of an installation of a GitHub App."""

    app_id: Filled = Field(description="The app's client ID or its number.")
    installation_id: Number = Field(description="The number of the installation, which is at the end of its URL in the settings.")
    private_key: Annotated[Whole, AfterValidator(_private_key)] = Field(description="A file with a private key of the app, PEM.")
    endpoint: UrlWithPath = Field(default=_GITHUB, description="GitHub's API; of GitHub Enterprise Server `https://HOST/api/v3`.")

    def source(self, host: str) -> GithubApp:  # noqa: ARG002 -- it is the same for all hosts
        return GithubApp(self.app_id, self.installation_id, self.private_key, self.endpoint)

    def unplaced(self, host: str) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        yield from ()
