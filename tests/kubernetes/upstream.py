"""A registry with tokens beside the cluster, and small images that run in it."""

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.clients.content import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, config, gzip_layer, manifest, plain_layer
from tests.clients.images import Image
from tests.clients.programs import program
from tests.clients.registry import Registry
from tests.clients.tokens import TokenService

from .machine import OUTSIDE

_FILLER = 3 << 20  # less than what a far registry is asked for in pieces


class Upstream:
    """Debian's docker-registry at the tests' end of the wire, by plain HTTP, behind a token service."""

    def __init__(self, folder: Path, tenants: Mapping[str, str] = MappingProxyType({})) -> None:
        """Keep everything below *folder*; *tenants* have passwords, and private repositories."""
        folder.mkdir()
        self.tokens = TokenService(OUTSIDE, tenants)
        self.registry = Registry(program("docker-registry", "docker-registry"), folder, self.tokens, OUTSIDE)
        self.name = self.registry.url.removeprefix("http://")
        # Kept in the words of regproxy's configuration: the token service is at another port.
        self.configured = {"hosts": [{"url": self.registry.url}], "realms": [self.tokens.authority]}
        # containerd 1.6 takes no file without a host.
        self.hosts_toml = f'# by hand\nserver = "{self.registry.url}"\n\n[host."{self.registry.url}"]\n'

    def start(self) -> None:
        self.registry.start()

    def stop(self) -> None:
        self.registry.stop()
        self.tokens.stop()

    def app(self, repository: str, tag: str = "1") -> Image:
        """Push an image of three layers that nobody has pulled, which runs and ends."""
        layers = [
            gzip_layer(f"{OCI_LAYER}+gzip", {"bin/busybox": program("busybox", "busybox-static").read_bytes(), "of": repository.encode()}),
            plain_layer({"tag": f"{repository}:{tag}".encode()}),
            plain_layer({"filler": random.Random(f"{repository}:{tag}").randbytes(_FILLER)}),
        ]
        settings = config(OCI_CONFIG, ["/bin/busybox", "echo", "hello"], layers)
        blobs = [layer.blob for layer in layers]
        image = Image(repository, tag, (*blobs, settings), (manifest(OCI_MANIFEST, settings, blobs),), "hello")
        self.registry.push(image)
        return image

    def blobs_of(self, image: Image) -> Counter[str]:
        """Count how often each blob of *image* was fetched from its repository."""
        found = [each for each in self.registry.blob_requests() if each.path.startswith(f"/v2/{image.repository}/")]
        return Counter(each.path.rpartition("/")[2] for each in found)
