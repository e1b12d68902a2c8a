"""What a client may pull: the operator's list is the last word, and else the upstream's mode."""

import pytest

from regproxy.oci.errors import RegistryError
from regproxy.oci.reference import Repository
from regproxy.policy.clients.identity import NOBODY, AccessMode, Allowed, Identity, NeedsProof, permission

LIBRARY = Repository("docker.io", "library/nginx")
TEAM = Repository("docker.io", "team/app")
UNLISTED = Identity("ann")
LISTED = Identity("ci", ("docker.io/library/*",))
NOTHING = Identity("locked", ())


@pytest.mark.parametrize("client", [NOBODY, UNLISTED])
def test_n16_01_without_a_list_the_upstream_decides(client: Identity) -> None:
    assert permission(AccessMode.SHARED, client, TEAM) == Allowed()
    assert permission(AccessMode.PROVEN, client, TEAM) == NeedsProof()
    refused = permission(AccessMode.NONE, client, TEAM)
    assert isinstance(refused, RegistryError)
    assert (refused.status, refused.code) == (403, "DENIED")


@pytest.mark.parametrize("mode", AccessMode)
def test_n16_01_a_list_is_the_last_word(mode: AccessMode) -> None:
    assert permission(mode, LISTED, LIBRARY) == Allowed()
    for client in (LISTED, NOTHING):
        refused = permission(mode, client, TEAM)
        assert isinstance(refused, RegistryError)
        assert refused.status == 403
        assert client.name in refused.message
