from collections.abc import Callable

import pytest

from regproxy.asker import Asker
from regproxy.oci.digest import Digest
from regproxy.peers.names import Blob, PieceName
from regproxy.peers.pieces.piece import UnservedError
from regproxy.peers.upstreams import Upstreams
from regproxy.policy.fleet.cut import MIB, piece_at
from regproxy.ports import Corrupt, NotFound, Throttled, Unavailable, UpstreamError
from tests.peers.parts import REPOSITORY, Given

WHOLE = b"0123456789" * 200_000
BLOB = Blob(REPOSITORY, Digest.of(WHOLE))


class Sink:
    """What upstream sent of a piece."""

    def __init__(self) -> None:
        self.size = 0
        self.bytes = b""

    async def begin(self, size: int) -> None:
        self.size = size

    async def put(self, chunk: bytes) -> None:
        self.bytes += chunk


async def sent(upstreams: Upstreams, written: int = 0) -> Sink:
    sink = Sink()
    await upstreams.send(PieceName(BLOB, piece_at(MIB)), written, sink.begin, sink.put)
    return sink


@pytest.mark.parametrize("written", [0, 1000])
async def test_n17_02_upstream_sends_what_is_missing_of_a_piece(written: int) -> None:
    registry = Given(WHOLE)
    sink = await sent(Upstreams({"docker.io": registry}), written)
    assert (sink.size, sink.bytes) == (len(WHOLE), WHOLE[MIB + written :])
    assert registry.asked == [(MIB + written, 2 * MIB)]


@pytest.mark.parametrize("error", [NotFound("no"), Throttled("wait"), Unavailable("500", answered=True)])
async def test_n17_02_what_upstream_says_instead_is_its_word(error: UpstreamError) -> None:
    registry = Given(WHOLE)
    registry.error = error
    with pytest.raises(type(error)):
        await sent(Upstreams({"docker.io": registry}))


async def test_n17_03_who_does_not_reach_upstream_says_so_once_and_comes_last_for_a_while() -> None:
    now = 0.0
    registry = Given(WHOLE)
    registry.error = Unavailable("refused")
    upstreams = Upstreams({"docker.io": registry}, clock=lambda: now)
    found = []
    for moment in (0.0, 5.0, 11.0):
        now = moment
        with pytest.raises(UnservedError) as failed:
            await sent(upstreams)
        found.append((failed.value.is_cut_off, upstreams.is_cut_off("docker.io")))
    assert found == [(True, True), (False, True), (True, True)]
    assert not upstreams.is_cut_off("quay.io")


def _unranged(registry: Given) -> None:
    registry.is_ranged = False


def _corrupt(registry: Given) -> None:
    registry.error = Corrupt("wrong bytes")


@pytest.mark.parametrize("spoil", [_unranged, _corrupt])
async def test_n17_02_what_cannot_be_cut_is_not_brought_by_pieces(spoil: Callable[[Given], None]) -> None:
    registry = Given(WHOLE)
    spoil(registry)
    upstreams = Upstreams({"docker.io": registry})
    with pytest.raises(UnservedError) as failed:
        await sent(upstreams)
    assert not failed.value.is_cut_off
    assert not upstreams.is_cut_off("docker.io")


def test_n17_21_who_wants_proofs_is_asked_as_nobody() -> None:
    upstreams = Upstreams({}, lambda name: name == "tenants.test")
    assert (upstreams.asker("tenants.test"), upstreams.asker("docker.io")) == (Asker(None), None)
