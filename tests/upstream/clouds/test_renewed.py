"""One credential for all who ask, before a cloud that fails at any moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from regproxy.fleet.memory import NullFleet, SharedFleet
from regproxy.policy.clouds.signing import AccessKey
from regproxy.policy.clouds.sources import AwsIdentity, Ecr
from regproxy.policy.credential import Credential, Secret
from regproxy.policy.routing import Host
from regproxy.ports import Fleet, Throttled, UpstreamError
from regproxy.upstream.clouds.made import issuer_of, source_of
from regproxy.upstream.clouds.renewed import RenewedSource
from tests.fakes.clouds.aws import FakeAws
from tests.fakes.clouds.cloud import ACCESS_KEY, SECRET_KEY
from tests.fakes.deeds import Hold, Status
from tests.upstream.auth.subject import Clock


@asynccontextmanager
async def prepared(clock: Clock, aws: FakeAws, fleet: Fleet | None = None) -> AsyncIterator[RenewedSource]:
    ecr = Ecr(AwsIdentity.KEYS, aws.region, aws.url, key=AccessKey(ACCESS_KEY, Secret(SECRET_KEY)))
    source = source_of(Host("https://a.io", credential_source=ecr), fleet or NullFleet(), clock, lambda: 0.5)
    assert isinstance(source, RenewedSource)
    try:
        yield source
    finally:
        await source.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def aws(clock: Clock) -> AsyncIterator[FakeAws]:
    async with FakeAws(clock) as fake:
        yield fake


async def landed(source: RenewedSource) -> None:
    """Wait until what is done behind the requests is done."""
    await asyncio.gather(*source._flights._tasks, return_exceptions=True)
    await asyncio.sleep(0)


def user(number: int) -> Credential:
    return Credential("AWS", Secret(f"canary-issued-{number}"))


def last(aws: FakeAws) -> Credential:
    return user(len(aws.issued))


async def test_n19_01_a_thousand_who_need_a_credential_ask_once(clock: Clock, aws: FakeAws) -> None:
    async with prepared(clock, aws) as source:
        found = await asyncio.gather(*(source.find(f"team/{number}") for number in range(1000)))
    assert set(found) == {user(1)}
    assert len(aws.issued) == 1


async def test_n19_01_a_credential_is_renewed_ahead_of_its_end_behind_the_requests(clock: Clock, aws: FakeAws) -> None:
    async with prepared(clock, aws) as source:
        await source.find("x")
        clock.now += 2500
        held = Hold()
        aws.misbehave("/", held, times=1)
        assert {await source.find("x") for _ in range(50)} == {user(1)}, "nobody waits for the renewal"
        await held.reached.wait()
        held.event.set()
        await landed(source)
        assert await source.find("x") == user(2)
    assert len(aws.ledger) == 2


async def test_n19_01_workers_share_a_credential_and_its_renewal(clock: Clock, aws: FakeAws) -> None:
    fleet = SharedFleet(NullFleet())
    async with prepared(clock, aws, fleet) as one, prepared(clock, aws, fleet) as two:
        assert await one.find("x") == await two.find("x") == user(1)
        clock.now += 3300  # over: a mass restart in the middle of it
        found = await asyncio.gather(*(each.find(f"team/{number}") for number in range(300) for each in (one, two)))
        assert set(found) == {user(2)}
    assert len(aws.issued) == 2


async def test_n19_01_a_renewal_that_fails_leaves_what_is_good_and_is_repeated_ever_more_rarely(
    clock: Clock, aws: FakeAws, caplog: pytest.LogCaptureFixture
) -> None:
    async with prepared(clock, aws) as source:
        await source.find("x")
        aws.misbehave("/", Status(503))
        clock.now += 2500
        for _ in range(600):  # seconds
            assert await source.find("x") == user(1)
            await landed(source)
            clock.now += 1
        assert 8 <= len(aws.ledger) - 1 <= 14
        assert source.failure == "", "it is good still"
        clock.now += 200
        with pytest.raises(UpstreamError, match="Amazon ECR in eu-west-1 answered 503"):
            await source.find("x")
        assert source.failure
        aws.behave()
        clock.now += 61
        assert await source.find("x") == last(aws)
        assert source.failure == ""
    assert "credential not issued" in caplog.text


async def test_n19_01_what_failed_a_moment_ago_is_not_asked_again_by_all_who_need_it(clock: Clock, aws: FakeAws) -> None:
    async with prepared(clock, aws) as source:
        aws.misbehave("/", Status(403))
        for _ in range(3):
            found = await asyncio.gather(*(source.find("x") for _ in range(100)), return_exceptions=True)
            assert all(isinstance(each, UpstreamError) for each in found)
        assert len(aws.ledger) == 1
        clock.now += 6
        with pytest.raises(UpstreamError):
            await source.find("x")
        assert len(aws.ledger) == 2


async def test_n19_01_a_service_that_throttles_is_left_alone_as_it_asks_but_not_for_ever(clock: Clock, aws: FakeAws) -> None:
    async with prepared(clock, aws) as source:
        aws.misbehave("/", Status(429, {"Retry-After": "30"}), times=1)
        aws.misbehave("/", Status(429, {"Retry-After": "999999999"}), times=1)
        for pause in (30, 60):
            with pytest.raises(Throttled):
                await source.find("x")
            clock.now += pause - 1
            with pytest.raises(Throttled):
                await source.find("x")
            clock.now += 2
        assert await source.find("x") == last(aws)
    assert len(aws.ledger) == 3


async def test_n19_01_a_credential_that_is_refused_before_its_end_is_replaced_once_in_a_while(clock: Clock, aws: FakeAws) -> None:
    async with prepared(clock, aws) as source:
        await source.find("x")
        assert await source.replacement(user(1), "x") is None, "it is new: another would be refused too"
        clock.now += 61
        found = await asyncio.gather(*(source.replacement(user(1), "x") for _ in range(100)))
        assert set(found) == {user(2)}
        assert await source.replacement(user(1), "x") == user(2), "refused was the one before"
        assert await source.replacement(user(2), "x") is None
    assert len(aws.issued) == 2


async def test_n19_01_what_is_refused_is_not_asked_for_anew_of_a_cloud_that_failed_a_moment_ago(clock: Clock, aws: FakeAws) -> None:
    async with prepared(clock, aws) as source:
        await source.find("x")
        clock.now += 61
        aws.misbehave("/", Status(503))
        with pytest.raises(UpstreamError):
            await source.replacement(user(1), "x")
        found = [await source.replacement(user(1), f"team/{number}") for number in range(20)]
        assert set(found) == {None}
        assert len(aws.ledger) == 2
        aws.behave()
        clock.now += 61
        assert await source.replacement(user(1), "x") == last(aws)


async def test_n19_01_a_clock_that_is_set_back_keeps_nobody_from_asking(clock: Clock, aws: FakeAws) -> None:
    async with prepared(clock, aws) as source:
        aws.misbehave("/", Status(503), times=1)
        with pytest.raises(UpstreamError):
            await source.find("x")
        clock.now -= 86_400
        assert await source.find("x") == last(aws)


async def test_n19_01_a_credential_ends_by_a_clock_that_is_not_set_back_too(clock: Clock, aws: FakeAws) -> None:
    """ECR calls what is over forbidden: nobody would say that it is to be renewed."""
    elapsed = Clock()
    ecr = Ecr(AwsIdentity.KEYS, aws.region, aws.url, key=AccessKey(ACCESS_KEY, Secret(SECRET_KEY)))
    issuer = issuer_of(ecr, Host("https://a.io"), clock)
    source = RenewedSource(issuer, Secret("key"), "ecr", NullFleet(), clock, lambda: 0.5, elapsed)
    await source.find("x")
    clock.now -= 5 * 3600
    elapsed.now += 3200
    assert await source.find("x") == user(1)
    elapsed.now += 100
    assert await source.find("x") == user(2)
    await source.close()


async def test_n19_01_services_that_are_each_slow_keep_nobody_waiting_for_long(clock: Clock, aws: FakeAws) -> None:
    held = Hold()
    aws.misbehave("/", held)
    ecr = Ecr(AwsIdentity.INSTANCE, aws.region, aws.url, metadata_endpoint=aws.url)
    source = RenewedSource(issuer_of(ecr, Host("https://a.io"), clock), Secret("key"), "ecr for a.io", NullFleet(), clock, within=0.5)
    found = await asyncio.gather(*(source.find("x") for _ in range(100)), return_exceptions=True)
    assert {str(each) for each in found} == {"ecr for a.io was not issued within 0.5 s: each who is asked is slow"}
    assert len(aws.ledger) == 1
    held.event.set()
    await source.close()
