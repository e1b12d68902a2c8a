"""Real clients pull through what `regproxy client-config` wrote: the fixtures named here have no other configuration."""

import pytest

from .client import Client
from .images import Images
from .registry import Registry

CLIENTS = ("containerd_by_default", "containerd_2_by_default", "k3s", "rke2", "cri_o", "docker", "podman", "buildkit")


@pytest.mark.parametrize("client", CLIENTS, indirect=True)
def test_n15_03_a_real_client_pulls_through_what_client_config_wrote(client: Client, images: Images, registry: Registry) -> None:
    client.pull(images.library)
    client.check(images.library)
    client.forget()
    asked = len(registry.requests())
    client.pull(images.library)
    client.check(images.library)
    assert len(registry.requests()) == asked
