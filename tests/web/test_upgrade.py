"""Connections that a client wants to be something else."""

from tests.fakes.caller import raw_request
from tests.rig import Rig, raw


async def test_n13_17_a_request_for_an_upgrade_is_answered_as_the_last_one(proxy: Rig) -> None:
    """HTTP/2 is not spoken here. Who has sent more behind it is told at once that it has to ask again, and does not wait."""
    upgrade = raw_request("/v2/", Connection="Upgrade, HTTP2-Settings", Upgrade="h2c", HTTP2_Settings="AAMAAABkAAQCAAAAAAIAAAAA")
    answer = await raw(proxy.port, upgrade + raw_request("/v2/") + raw_request("/v2/"))
    assert answer.received.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer.received.lower()
