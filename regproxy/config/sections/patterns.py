"""Upstreams whose names are patterns, as the configuration file spells them."""

from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from regproxy.config.units import host_name, origin, repository_prefix
from regproxy.policy.upstream.patterns import InvalidPattern, check_pattern, is_pattern

REGISTRY = "{registry}"  # stands for the name of the upstream
_SAMPLE = "registry.example"


def upstream_name(value: str) -> str:
    """Accept a host name with an optional port, or a pattern of such names."""
    if not is_pattern(value):
        return host_name(value)
    try:
        check_pattern(value)
    except InvalidPattern as error:
        raise ValueError(str(error)) from None
    return value


def host_origin(value: str) -> str:
    """Accept `http(s)://host[:port]`, or `http(s)://{registry}` for the registry itself."""
    if REGISTRY not in value:
        return origin(value)
    if value.removesuffix("/") not in {f"http://{REGISTRY}", f"https://{REGISTRY}"}:
        raise ValueError(f"must be https://{REGISTRY} or http://{REGISTRY}, with nothing after it")
    return value.removesuffix("/")


def sample(name: str) -> str:
    """Return a name that a pattern may cover, as registries of clouds have them: an account, a region; of any other name itself."""
    return name.replace("*", "123456789012", 1).replace("*", "us-east-1")


def host_prefix(value: str) -> str:
    """Accept the beginning of a repository name, in which `{registry}` may be a part."""
    repository_prefix(value.replace(REGISTRY, _SAMPLE))
    return value


UpstreamName: TypeAlias = Annotated[str, AfterValidator(upstream_name)]
HostOrigin: TypeAlias = Annotated[str, AfterValidator(host_origin)]
HostPrefix: TypeAlias = Annotated[str, AfterValidator(host_prefix)]
