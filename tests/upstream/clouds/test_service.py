"""Services of clouds that are hostile, slow, throttling or somebody else."""

import json
from collections.abc import AsyncIterator

import pytest

from regproxy.config import Timeouts
from regproxy.policy.clouds.signing import CloudRequest
from regproxy.policy.credential import Credential, Secret
from regproxy.policy.routing import Host
from regproxy.policy.upstream.transport import Proxy
from regproxy.ports import Throttled, Unavailable, UnexpectedResponse
from regproxy.upstream.clouds.service import CloudAnswer, CloudService, _addresses
from tests.fakes.deeds import Deed, Drop, Flood, Hold, Redirect, Status, Trickle
from tests.fakes.forward_proxy import ForwardProxy
from tests.fakes.registry import FakeRegistry
from tests.upstream.auth.subject import Clock

HOST = Host("https://registry.example")
SENT = "canary-sent-0123"


@pytest.fixture
async def service() -> AsyncIterator[tuple[CloudService, FakeRegistry]]:
    async with FakeRegistry() as fake:
        fake.files["/"] = b"{}"
        found = CloudService("the cloud", fake.url, HOST, Clock(), timeouts=Timeouts(headers=1.0))
        yield found, fake
        await found.close()


def request(service: CloudService, path: str = "/") -> CloudRequest:
    return CloudRequest("GET", service.host, path, headers=(("x-token", SENT),))


def error(body: object) -> CloudAnswer:
    return CloudAnswer("the cloud", 400, {}, body if isinstance(body, bytes) else json.dumps(body).encode(), 0.0, f"x {SENT} y")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_n19_01_a_redirect_is_never_followed(service: tuple[CloudService, FakeRegistry], status: int) -> None:
    asked, fake = service
    async with FakeRegistry() as elsewhere:
        fake.misbehave("/", Redirect(f"{elsewhere.url}/latest/meta-data", status))
        answer = await asked.ask(request(asked))
        failure = answer.failure("keys", "do something")
        assert isinstance(failure, UnexpectedResponse)
        assert "redirected us" in str(failure)
        assert elsewhere.ledger == []


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        (Status(200, body=b"x" * 70_000), "of more than 65536 bytes"),
        (Flood(2**30), "of more than 65536 bytes"),
        (Trickle(), "did not (answer in time|finish its answer within 1 s)"),
        (Drop(), "broke off"),
        (Hold(), "did not (answer in time|finish its answer within 1 s)"),
        (Status(200, {"Content-Encoding": "gzip"}, b"x"), "encoded with gzip"),
    ],
    ids=["huge", "endless", "trickling", "drops", "silent", "encoded"],
)
async def test_n19_01_an_answer_is_small_in_time_and_plain(service: tuple[CloudService, FakeRegistry], deed: Deed, told: str) -> None:
    asked, fake = service
    fake.misbehave("/", deed)
    with pytest.raises(Unavailable, match=rf"the cloud: .*{told}"):
        await asked.ask(request(asked))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"[" * 60_000, b'{"a": "\xff"}'])
def test_n19_01_what_is_no_json_object_is_somebody_else(body: bytes) -> None:
    with pytest.raises(UnexpectedResponse, match="somebody else answers there"):
        error(body).document()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"__type": "com.amazon.coral.service#AccessDeniedException", "message": SENT}, "AccessDeniedException"),
        ({"error": {"status": "PERMISSION_DENIED", "message": SENT}}, "PERMISSION_DENIED"),
        ({"error": "invalid_client", "error_description": f"AADSTS70021: {SENT}"}, "AADSTS70021"),
        ({"error": "invalid_grant", "error_description": SENT}, "invalid_grant"),
        ({"Response": {"Error": {"Code": "AuthFailure.SignatureExpire", "Message": SENT}}}, "AuthFailure.SignatureExpire"),
        ({"Code": "Forbidden.RAM"}, "Forbidden.RAM"),
        ({"error_code": "APIGW.0301"}, "APIGW.0301"),
        (b"<ErrorResponse><Error><Code>ExpiredTokenException</Code></Error></ErrorResponse>", "ExpiredTokenException"),
        ({"code": SENT}, ""),  # what it was sent
        ({"code": "canary-sent-01"}, ""),  # a part of that
        ({"code": "two words"}, ""),
        ({"code": "ghs_a1B2c3D4e5F6"}, ""),
        ({"code": "canary-issued-1"}, ""),
        ({"code": 5, "Response": 5, "error": ["x"]}, ""),
        ({"Response": {"Error": "x"}}, ""),
        (b"<Code>" + b"x" * 100 + b"</Code>", ""),
    ],
)
def test_n19_01_an_error_is_told_by_its_code_and_by_nothing_that_was_sent(body: object, code: str) -> None:
    assert error(body).code == code


def test_n19_01_a_failure_says_who_what_and_what_to_do() -> None:
    assert (
        str(error({"code": "AccessDenied"}).failure("a password", "allow it"))
        == "the cloud refused a password (400 AccessDenied): allow it"
    )


@pytest.mark.parametrize("code", ["ThrottlingException", "Throttling.User", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown"])
def test_n19_01_throttling_is_known_by_status_or_code(code: str) -> None:
    assert isinstance(error({"code": code}).failure("x", "y"), Throttled)
    throttled = CloudAnswer("the cloud", 429, {"retry-after": "7"}, b"", 0.0).failure("x", "y")
    assert isinstance(throttled, Throttled)
    assert throttled.retry_after == 7


async def test_n19_01_clocks_that_differ_are_said_and_the_clouds_counts(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    async with FakeRegistry() as fake:
        asked = CloudService("the cloud", fake.url, HOST, clock)
        fake.misbehave("/", Status(403, {"Date": "Sat, 01 Aug 2026 13:00:00 GMT"}))
        moments: list[float] = []

        def signed(now: float) -> CloudRequest:
            moments.append(now - clock.now)
            return request(asked)

        answer = await asked.ask_signed(signed)
        await asked.ask_signed(signed)
        await asked.close()
    skew = answer.now - clock.now
    assert moments == [0, skew, skew], "a refusal whose clock is known is not tried again"
    assert skew != 0
    assert "clock differs from the cloud's" in caplog.text


@pytest.mark.parametrize("date", ["yesterday", "Sat, 99 Aug 2026 13:00:00 GMT", ""])
async def test_n19_01_a_date_that_is_none_counts_as_ours(service: tuple[CloudService, FakeRegistry], date: str) -> None:
    asked, fake = service
    fake.misbehave("/", Status(200, {"Date": date}))
    assert (await asked.ask(request(asked))).now == Clock().now


async def test_n19_01_a_metadata_service_is_asked_without_a_proxy_and_a_cloud_through_it() -> None:
    async with FakeRegistry() as fake, ForwardProxy() as proxy:
        host = Host("https://registry.example", proxy=Proxy(proxy.url, Credential(proxy.username, Secret(proxy.password))))
        for is_metadata, through in ((True, 0), (False, 1)):
            asked = CloudService("the cloud", fake.url, host, Clock(), is_metadata=is_metadata)
            await asked.ask(request(asked))
            await asked.close()
            assert proxy.connections == through


@pytest.mark.parametrize("url", ["http://169.254.169.254", "http://[fd00:ec2::254]", "http://169.254.170.23"])
async def test_n19_01_a_metadata_service_may_be_asked_where_it_is_configured_and_nowhere_else(url: str) -> None:
    named = CloudService("the cloud", url, HOST, Clock())
    with pytest.raises(Unavailable, match="may not have"):
        await named.ask(CloudRequest("GET", named.host))
    await named.close()
    assert _addresses(url.partition("//")[2].strip("[]")) == (url.partition("//")[2].strip("[]"),)
    assert _addresses("metadata.google.internal") == ()
