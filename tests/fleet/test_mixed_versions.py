"""A fleet that is upgraded one replica after the other: what another version wrote is read, or is as if it were not there."""

from typing import Any

import pytest
from redis.asyncio import Redis

from regproxy.fleet.codec import history_of, tag_document, tag_of, token_document, token_of
from regproxy.fleet.encryption import Encryption
from regproxy.policy.freshness import Denied, Missing, TagAnswer
from tests.fleet.redis_server import RedisServer
from tests.fleet.replicas import KEY, NOW, RECORD, REFERENCE, RING, TOKEN, replica, written

ANSWERS: list[TagAnswer] = [RECORD, Missing("no such tag", NOW), Denied("denied", NOW, 403, "DENIED")]


def _of_another_version(sealed: object) -> bytes:
    assert isinstance(sealed, bytes)
    return bytes([sealed[0] + 1]) + sealed[1:]


async def test_n15_07_replicas_of_two_versions_share_a_redis_and_do_not_disturb_each_other(server: RedisServer) -> None:
    """Even where both use the same names: a value says which version's form it has."""
    async with replica(server.url) as one, replica(server.url) as other, Redis.from_url(server.url) as spy:
        await written(one)
        for name in await spy.keys("*"):
            await spy.set(name, _of_another_version(await spy.get(name)))
        assert (await other.token(KEY), await other.tag(REFERENCE)) == (None, None)
        await written(other)
        assert (await one.token(KEY), await one.tag(REFERENCE)) == (TOKEN, RECORD)


async def test_n15_07_a_lock_that_another_version_holds_holds_nobody_up(server: RedisServer) -> None:
    encryption = Encryption(RING)
    key = f"regproxy:lock:{encryption.names('work')[0]}"
    mark = _of_another_version(encryption.mark(key, NOW))
    async with replica(server.url) as one, Redis.from_url(server.url) as other:
        await other.set(key, mark)
        async with one.lock("work"):
            assert await other.get(key) == mark, "it is left to its holder"


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: type(answer).__name__)
def test_n15_07_what_a_later_version_adds_is_not_read(answer: TagAnswer) -> None:
    assert tag_of({**tag_document(answer), "of_tomorrow": [1, {"a": None}]}) == answer
    assert token_of({**token_document(TOKEN), "of_tomorrow": 1}) == TOKEN


def _changed(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Take each field away, and make each of another type."""
    without = [{name: value for name, value in document.items() if name != gone} for gone in document]
    others: list[object] = [None, [], {}]
    return without + [{**document, name: other} for name in document for other in others]


HISTORIES: list[dict[str, Any] | None] = [
    None,
    {},
    {"meanings": None},
    {"meanings": 7},
    {"meanings": [7]},
    {"meanings": [["sha256:0", NOW]]},
    {"meanings": [[7, NOW]]},
    {"meanings": [[None, "x"]]},
    {"meanings": [[None, float("nan")]]},
    {"meanings": [[None, NOW, 1]]},
]


@pytest.mark.parametrize("document", HISTORIES, ids=str)
def test_n18_07_a_history_that_is_not_ours_is_as_nothing(document: dict[str, Any] | None) -> None:
    assert history_of(document) == ()


def test_n15_07_a_form_that_is_not_ours_is_as_nothing() -> None:
    """It fails no pull: it is asked for again."""
    for answer in ANSWERS:
        for document in _changed(tag_document(answer)):
            assert tag_of(document) is None, document
    for document in _changed(token_document(TOKEN)):
        assert token_of(document) is None
