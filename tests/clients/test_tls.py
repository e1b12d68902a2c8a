"""Real clients by https: they know us by our authority, and we know them by theirs."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.authority import Authority

from .client import Client
from .conftest import Folders
from .containerd import Containerd, ContainerdPull, write_hosts
from .images import Images
from .podman import Podman
from .proxy import NAMED, Proxy
from .registry import Registry
from .skopeo import Skopeo
from .tokens import TokenService


@pytest.fixture(scope="module")
def authority(folder: Folders) -> Authority:
    return Authority(folder("authority"))


@pytest.fixture(scope="module")
def secured(folder: Folders, registry: Registry, tokens: TokenService, authority: Authority) -> Iterator[Proxy]:
    """Run a regproxy that serves by https, and only whom the authority vouches for."""
    pair = authority.issue("server")
    tls = {"certificate": str(pair.certificate), "key": str(pair.key), "client_ca": str(authority.ca)}
    proxy = Proxy(folder("secured"), registry.url, tokens, tls=tls)
    proxy.start()
    yield proxy
    proxy.stop()
    assert proxy.complaints() == []


@pytest.fixture(scope="module")
def certificates(folder: Folders, authority: Authority) -> Path:
    """Lay out certificates as skopeo and podman want them (containers-certs.d)."""
    there, pair = folder("certificates"), authority.issue("client")
    for source, name in ((authority.ca, "ca.crt"), (pair.certificate, "client.cert"), (pair.key, "client.key")):
        shutil.copy(source, there / name)
    return there


@pytest.fixture
def containerd_by_https(containerd: Containerd, folder: Folders, secured: Proxy, certificates: Path) -> Client:
    known = f"""  ca = "{certificates}/ca.crt"\n  client = [["{certificates}/client.cert", "{certificates}/client.key"]]"""
    return ContainerdPull(containerd, write_hosts(folder("hosts-https"), NAMED, secured.url, known=known), NAMED)


@pytest.fixture
def skopeo_by_https(folder: Folders, secured: Proxy, certificates: Path) -> Client:
    return Skopeo(folder("skopeo-https"), f"{secured.authority}/{NAMED}", certificates)


@pytest.fixture
def podman_by_https(folder: Folders, secured: Proxy, certificates: Path) -> Client:
    return Podman(folder("podman-https"), NAMED, f"{secured.authority}/{NAMED}", certificates)


@pytest.mark.parametrize("client", ["containerd_by_https", "skopeo_by_https", "podman_by_https"], indirect=True)
def test_an_image_is_pulled_by_https(client: Client, images: Images) -> None:
    for image in (images.hello, images.layers):
        client.pull(image)
        client.check(image)


def test_a_client_that_nobody_vouches_for_pulls_nothing(folder: Folders, secured: Proxy, authority: Authority, images: Images) -> None:
    without = folder("no-client")
    shutil.copy(authority.ca, without / "ca.crt")
    with pytest.raises(RuntimeError, match=r"EOF|certificate|reset|closed idle connection"):
        Skopeo(folder("skopeo-stranger"), f"{secured.authority}/{NAMED}", without).pull(images.hello)
