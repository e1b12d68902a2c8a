"""One registry, one proxy and one daemon per client for the whole folder; each in its own short folder."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .buildah import Buildah
from .buildkit import BuildKit
from .client import Client
from .configured import write_configuration
from .containerd import Containerd, ContainerdPull, write_hosts
from .copiers import LayoutClient, crane_copy, oras_copy, regctl_copy
from .docker import Docker
from .go_programs import go_program
from .images import Image, Images
from .k3s import write_hosts as write_hosts_of_k3s
from .podman import Podman
from .processes import unmount_below
from .programs import program
from .proxy import HUB, NAMED, Proxy
from .registry import Registry
from .skopeo import Skopeo, SystemSkopeo
from .tokens import TokenService

Folders = Callable[[str], Path]


@pytest.fixture(scope="session")
def folder() -> Iterator[Folders]:
    """Make folders with short paths, for Unix sockets; they go at the end, with all that is mounted there."""
    root = Path(tempfile.mkdtemp(prefix="rp-", dir="/tmp"))

    def make(name: str) -> Path:
        (root / name).mkdir()
        return root / name

    yield make
    unmount_below(root)
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def images() -> Images:
    return Images(program("busybox", "busybox-static"), program("zstd", "zstd"))


@pytest.fixture(scope="session")
def tokens() -> Iterator[TokenService]:
    service = TokenService()
    yield service
    service.stop()


@pytest.fixture(scope="session")
def registry(folder: Folders, tokens: TokenService, images: Images) -> Iterator[Registry]:
    registry = Registry(program("docker-registry", "docker-registry"), folder("registry"), tokens)
    registry.start()
    for image in images.all:
        registry.push(image)
    yield registry
    registry.stop()


@pytest.fixture(scope="session")
def proxy(folder: Folders, registry: Registry, tokens: TokenService) -> Iterator[Proxy]:
    proxy = Proxy(folder("proxy"), registry.url, tokens)
    proxy.start()
    yield proxy
    proxy.stop()
    assert proxy.complaints() == []


@pytest.fixture(scope="session")
def containerd(folder: Folders) -> Iterator[Containerd]:
    containerd = Containerd(folder("containerd"))
    containerd.start()
    yield containerd
    containerd.stop()


@pytest.fixture(scope="session")
def containerd_2(folder: Folders) -> Iterator[Containerd]:
    containerd = Containerd(folder("containerd-2"), go_program)
    containerd.start()
    yield containerd
    containerd.stop()


@pytest.fixture(scope="session")
def containerd_2_by_default(containerd_2: Containerd, folder: Folders, proxy: Proxy) -> Client:
    return ContainerdPull(containerd_2, write_configuration("containerd", folder("hosts-2"), proxy.url), HUB)


@pytest.fixture(scope="session")
def nerdctl(containerd_2: Containerd, folder: Folders, proxy: Proxy) -> Client:
    """Pull by the library that nerdctl pulls by (containerd's core/remotes/docker), in the client and not in the daemon as CRI does."""
    return ContainerdPull(containerd_2, write_configuration("containerd", folder("hosts-nerdctl"), proxy.url), HUB, ("--local",))


@pytest.fixture(scope="session")
def k3s(containerd_2: Containerd, folder: Folders, proxy: Proxy) -> Client:
    registries = write_configuration("k3s", folder("k3s"), proxy.url) / "registries.yaml"
    return ContainerdPull(containerd_2, write_hosts_of_k3s(registries, folder("hosts-k3s")), HUB)


@pytest.fixture(scope="session")
def rke2(containerd_2: Containerd, folder: Folders, proxy: Proxy) -> Client:
    registries = write_configuration("rke2", folder("rke2"), proxy.url, "--registry", HUB) / "registries.yaml"
    return ContainerdPull(containerd_2, write_hosts_of_k3s(registries, folder("hosts-rke2")), HUB)


@pytest.fixture(scope="session")
def crane(folder: Folders, proxy: Proxy) -> Client:
    return LayoutClient(folder("crane"), f"{proxy.authority}/{NAMED}", crane_copy)


@pytest.fixture(scope="session")
def oras(folder: Folders, proxy: Proxy) -> Client:
    return LayoutClient(folder("oras"), f"{proxy.authority}/{NAMED}", oras_copy)


@pytest.fixture(scope="session")
def regctl(folder: Folders, proxy: Proxy) -> Client:
    return LayoutClient(folder("regctl"), f"{proxy.authority}/{NAMED}", regctl_copy)


@pytest.fixture(scope="session")
def containerd_with_a_host_of_its_own(containerd: Containerd, folder: Folders, proxy: Proxy) -> Client:
    return ContainerdPull(containerd, write_hosts(folder("hosts"), NAMED, proxy.url), NAMED)


@pytest.fixture(scope="session")
def containerd_by_default(containerd: Containerd, folder: Folders, proxy: Proxy) -> Client:
    return ContainerdPull(containerd, write_configuration("containerd", folder("hosts-default"), proxy.url, "--strict"), HUB)


@pytest.fixture(scope="session")
def containerd_with_a_path(containerd: Containerd, folder: Folders, proxy: Proxy) -> Client:
    url = f"{proxy.url}/v2/{NAMED}"
    return ContainerdPull(containerd, write_hosts(folder("hosts-path"), NAMED, url, verbatim=True), NAMED)


@pytest.fixture(scope="session")
def skopeo(folder: Folders, proxy: Proxy) -> Client:
    return Skopeo(folder("skopeo"), proxy.authority)


@pytest.fixture(scope="session")
def skopeo_with_a_path(folder: Folders, proxy: Proxy) -> Skopeo:
    return Skopeo(folder("skopeo-path"), f"{proxy.authority}/{NAMED}")


@pytest.fixture(scope="session")
def podman(folder: Folders, proxy: Proxy) -> Client:
    configuration = write_configuration("podman", folder("podman-configuration"), proxy.url, "--registry", HUB)
    return Podman(folder("podman"), HUB, proxy.authority, configuration=configuration / "registries.conf.d" / "regproxy.conf")


@pytest.fixture(scope="session")
def buildah(folder: Folders, proxy: Proxy) -> Client:
    configuration = write_configuration("podman", folder("buildah-configuration"), proxy.url, "--registry", HUB)
    return Buildah(folder("buildah"), HUB, configuration / "registries.conf.d" / "regproxy.conf")


@pytest.fixture(scope="session")
def cri_o(folder: Folders, proxy: Proxy) -> Client:
    configuration = write_configuration("cri-o", folder("cri-o-configuration"), proxy.url, "--registry", HUB)
    return SystemSkopeo(folder("cri-o"), HUB, configuration)


@pytest.fixture(scope="session")
def podman_with_a_path(folder: Folders, proxy: Proxy) -> Client:
    return Podman(folder("podman-path"), NAMED, f"{proxy.authority}/{NAMED}")


@pytest.fixture(scope="session")
def docker(folder: Folders, proxy: Proxy) -> Iterator[Docker]:
    if Path("/sys/class/net/docker0").exists():
        pytest.skip("a docker engine lives here, and dockerd without a bridge would remove its docker0")
    docker = Docker(folder("docker"), proxy.url)
    docker.start()
    yield docker
    docker.stop()


@pytest.fixture(scope="session")
def buildkit(folder: Folders, proxy: Proxy) -> Iterator[BuildKit]:
    buildkit = BuildKit(folder("buildkit"), HUB, proxy.url)
    buildkit.start()
    yield buildkit
    buildkit.stop()


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Get the client whose fixture the test names, with nothing pulled before or left behind."""
    client: Client = request.getfixturevalue(request.param)
    yield client
    client.forget()


@pytest.fixture
def image(request: pytest.FixtureRequest, images: Images) -> Image:
    image: Image = getattr(images, request.param)
    return image
