"""What only some configurations need: imported before workers are forked, it lies in memory once, and no client waits for it."""

from collections.abc import Iterator
from importlib import import_module

from regproxy.config import Settings
from regproxy.policy.clouds.sources import GithubApp
from regproxy.policy.upstream.transport import Tls
from regproxy.upstream.hosts.authorities import system_context


def import_features(settings: Settings) -> None:
    """Import what would else be imported where it is used first, in each process; so are the system's authorities read."""
    for module in _modules(settings):
        import_module(module)
    hosts = [host for upstream in settings.upstreams for host in upstream.hosts]
    if any(host.url.startswith("https:") and host.tls == Tls() for host in hosts):
        system_context()


def _modules(settings: Settings) -> Iterator[str]:
    if settings.tls is not None or settings.admin_tls is not None:
        yield "cryptography.x509"
    if settings.token_key is not None:
        yield "regproxy.clients.authenticator"
    if settings.redis is not None:
        yield "regproxy.fleet.redis_fleet"
    if settings.store.behind is not None:
        yield "regproxy.objects.bucket"
    if any(each is not None for each in (settings.token_key, settings.redis, settings.store.behind, settings.fleet)):
        yield "cryptography.hazmat.primitives.ciphers.aead"
        yield "cryptography.hazmat.primitives.kdf.hkdf"
    if any(isinstance(host.credential_source, GithubApp) for upstream in settings.upstreams for host in upstream.hosts):
        yield "regproxy.upstream.clouds.github"
