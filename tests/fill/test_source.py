"""What those who send one blob say of it, and whether it is asked for again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from regproxy.fill.source import Source
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.ports import Corrupt
from tests.fill.test_download import FakeBody

DIGEST = Digest.of(b"blob")
APP = Repository("docker.io", "library/app")


class Sized:
    """An upstream whose answers say these sizes, one after the other."""

    is_near = False

    def __init__(self, *sizes: int | None, repeats: int = 0, several: Repository | None = None) -> None:
        self._sizes = list(sizes)
        self._several = several
        self._repeats = repeats
        self.suspected = 0

    def has_others(self, repository: Repository) -> bool:
        return repository == self._several

    def may_repeat(self) -> bool:
        self._repeats -= 1
        return self._repeats >= 0

    @asynccontextmanager
    async def blob(
        self, repository: Repository, digest: Digest, start: int = 0, stop: int | None = None, last: str | None = None
    ) -> AsyncIterator[FakeBody]:
        assert (repository, digest, last) == (APP, DIGEST, None)
        body = SuspectBody(start, stop, self._sizes.pop(0), 4, 4)
        body.sender = self
        yield body


class SuspectBody(FakeBody):
    """Tells its sender that it is suspected."""

    sender: Sized

    def suspect(self) -> None:
        self.sender.suspected += 1


async def asked(source: Source) -> None:
    async with source.body(0, None, None):
        pass


@pytest.mark.parametrize(("sizes", "size"), [((4, 4), 4), ((4, None), 4), ((None, 4), None)])
async def test_the_first_answer_tells_the_size_for_all(sizes: tuple[int | None, ...], size: int | None) -> None:
    source = Source(Sized(*sizes), APP, DIGEST)
    for _ in sizes:
        await asked(source)
    assert (source.has_answered, source.size) == (True, size)


async def test_an_answer_of_another_size_is_corrupt_and_its_sender_suspected() -> None:
    sender = Sized(4, 5)
    source = Source(sender, APP, DIGEST)
    await asked(source)
    with pytest.raises(Corrupt, match="has 5 bytes, others said 4"):
        await asked(source)
    assert sender.suspected == 1


async def test_asking_again_for_nothing_is_bounded_by_the_blob_and_by_the_upstream() -> None:
    source = Source(Sized(4, repeats=2), APP, DIGEST)
    assert not source.may_go_on(0), "a blob that never began is for others to judge"
    await asked(source)
    assert [source.may_go_on(futile) for futile in (0, 1, 5, 2, 3)] == [True, True, False, True, False]


async def test_it_is_known_how_long_the_first_answer_took() -> None:
    source = Source(Sized(4, 4), APP, DIGEST)
    assert source.answered_in == 0.0
    await asked(source)
    seconds = source.answered_in
    assert seconds > 0.0
    await asked(source)
    assert source.answered_in == seconds


@pytest.mark.parametrize(("several", "has_others"), [(APP, True), (Repository("docker.io", "library/other"), False)])
def test_there_are_other_hosts_where_they_have_its_repository(several: Repository, *, has_others: bool) -> None:
    assert Source(Sized(4, several=several), APP, DIGEST).has_others is has_others
