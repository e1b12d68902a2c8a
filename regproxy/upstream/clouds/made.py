"""The source of a host's credential, as the configuration names it."""

import random
import time
from collections.abc import Callable
from typing import assert_never

from regproxy.policy.clock import WallClock
from regproxy.policy.clouds.sources import Aliyun, Azure, CloudSource, Ecr, GithubApp, Google, Huawei, Provider, Tencent, fingerprint
from regproxy.policy.routing import Host
from regproxy.ports import Fleet
from regproxy.upstream.clouds.aliyun import AliyunIssuer
from regproxy.upstream.clouds.azure import AzureIssuer
from regproxy.upstream.clouds.ecr import EcrIssuer
from regproxy.upstream.clouds.google import google_issuer
from regproxy.upstream.clouds.huawei import HuaweiIssuer
from regproxy.upstream.clouds.issuer import Issuer
from regproxy.upstream.clouds.provider import ProviderSource
from regproxy.upstream.clouds.renewed import RenewedSource
from regproxy.upstream.clouds.source import Source
from regproxy.upstream.clouds.tencent import TencentIssuer


def source_of(host: Host, fleet: Fleet, clock: WallClock = time.time, chance: Callable[[], float] = random.random) -> Source | None:
    """Return what issues the credential of *host*; None where it has none that ends. Nothing is asked yet."""
    match host.credential_source:
        case None:
            return None
        case Provider() as provider:
            return ProviderSource(provider)
        case source:
            issuer = issuer_of(source, host, clock)
            return RenewedSource(issuer, fingerprint(source, str(host)), f"{source.kind} for {host}", fleet, clock, chance)


def issuer_of(source: CloudSource, host: Host, clock: WallClock) -> Issuer:
    """Return what asks a cloud for credentials of *host*."""
    match source:
        case Ecr():
            return EcrIssuer(source, host, clock)
        case Google():
            return google_issuer(source, host, clock)
        case Azure():
            return AzureIssuer(source, host, clock)
        case Aliyun():
            return AliyunIssuer(source, host, clock)
        case Tencent():
            return TencentIssuer(source, host, clock)
        case Huawei():
            return HuaweiIssuer(source, host, clock)
        case GithubApp():
            from regproxy.upstream.clouds.github import GithubIssuer  # noqa: PLC0415  JWTs, and 9 MB that most do without

            return GithubIssuer(source, host, clock)
        case _ as never:
            assert_never(never)
