"""The forms in which a token service is asked, and what is made of its answer."""

import asyncio
from urllib.parse import parse_qs

import pytest

from regproxy.config import Timeouts
from regproxy.policy.credential import Credential, CredentialKind, Secret
from regproxy.ports import Unavailable, UpstreamError
from tests.fakes.deeds import Deed, Delay, Hold, Redirect, Status, Trickle
from tests.fakes.entry import on
from tests.fakes.sockets import Sink
from tests.upstream.auth.subject import IDENTITY, NAME, SLOTS, USER, prepared


@pytest.mark.parametrize("deed", [Trickle(), Hold()], ids=["trickling", "silent"])
async def test_n12_13_all_who_wait_for_a_slow_token_service_share_its_timeout(deed: Deed) -> None:
    """Behind one round of timeouts nobody waits for another one; the next request asks again."""
    async with prepared(timeouts=Timeouts(headers=0.5)) as subject:
        subject.registry.misbehave("/token", deed)
        failures = await subject.answer_all()
        assert {(type(failure), getattr(failure, "timed_out", None)) for failure in failures} == {(Unavailable, True)}
        assert len(subject.asked) == SLOTS
        subject.registry.behave()
        assert await subject.answer(name="library/another")


async def test_n12_13_those_who_waited_are_asked_about_where_the_service_answers_others() -> None:
    async with prepared(timeouts=Timeouts(headers=4.0)) as subject:
        slow = {f"repository:library/{number}:pull" for number in range(SLOTS - 1)}
        subject.registry.misbehave(lambda entry: entry.kind == "token" and slow.issuperset(entry.query["scope"]), Hold())
        subject.registry.misbehave("/token", Delay(0.15))  # all of them wait longer than that timeout
        kinds = [type(answer) for answer in await subject.answer_all()]
        assert (kinds.count(Unavailable), kinds.count(str)) == (SLOTS - 1, 51 - SLOTS)


async def test_n12_13_one_timeout_is_for_all_of_a_token_and_its_redirects() -> None:
    async with prepared(timeouts=Timeouts(headers=0.5)) as subject:
        subject.registry.misbehave("/token", Delay(0.3), Redirect(lambda entry: entry.path), times=2)
        with pytest.raises(Unavailable):
            await subject.answer()


async def test_an_identity_token_is_traded_by_form_and_never_in_a_query() -> None:
    async with prepared(Credential("", Secret("canary-refresh-token"), CredentialKind.IDENTITY)) as subject:
        assert (await subject.answer()).startswith("Bearer canary-token-")
        (asked,) = subject.asked
        form = {"grant_type": ["refresh_token"], "refresh_token": ["canary-refresh-token"], "client_id": ["regproxy"], "service": ["s"]}
        assert (asked.method, parse_qs(asked.body.decode())) == ("POST", form | {"scope": [f"repository:{NAME}:pull"]})
        assert "refresh" not in asked.path


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_n13_14_a_token_service_is_followed_within_its_origin(status: int) -> None:
    async with prepared(USER) as subject:
        subject.registry.misbehave(lambda entry: entry.path.startswith("/token?"), Redirect("/token/v2?service=s&scope=a", status), times=1)
        assert (await subject.answer()).startswith("Bearer canary-token-")
        assert [(entry.method, "authorization" in entry.headers) for entry in subject.asked] == [("GET", True)] * 2


@pytest.mark.parametrize(
    ("status", "methods"), [(307, ["POST", "POST"]), (308, ["POST", "POST"]), (303, ["POST", "GET"]), (302, ["POST", "GET"])]
)
async def test_n13_14_a_form_is_sent_again_only_where_that_is_asked_for(status: int, methods: list[str]) -> None:
    async with prepared(IDENTITY) as subject:
        subject.registry.misbehave(lambda entry: entry.path == "/token", Redirect("/token/v2", status), times=1)
        await asyncio.gather(subject.answer(), return_exceptions=True)
        assert [entry.method for entry in subject.asked][:2] == methods
        assert [b"canary-refresh-token" in entry.body for entry in subject.asked][:2] == [method == "POST" for method in methods]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("credential", [USER, IDENTITY], ids=["password", "identity token"])
@pytest.mark.parametrize("hops", [1, 2])
async def test_n13_14_no_redirect_takes_a_password_from_its_origin(credential: Credential, status: int, hops: int) -> None:
    """Another port is another origin; nor does it go there by a hop at home."""
    async with prepared(credential) as subject, Sink(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as sink:
        if hops > 1:
            subject.registry.misbehave("/token", Redirect("/token/next", 307), times=1)
        subject.registry.misbehave("/token", Redirect(f"{sink.url}/token?canary=canary", status))
        with pytest.raises(Unavailable, match="redirected us to http://127") as caught:
            await subject.answer()
        assert (sink.connections, "canary" in str(caught.value)) == (0, False)


async def test_n13_14_a_token_service_that_redirects_in_a_circle_is_left() -> None:
    async with prepared(USER) as subject:
        subject.registry.misbehave("/token", Redirect(lambda entry: f"{entry.path}x"))
        with pytest.raises(Unavailable, match="more than 3 times"):
            await subject.answer()
        assert len(subject.asked) == 4


@pytest.mark.parametrize("status", [200, 201, 202, 203])
async def test_n13_14_a_token_is_taken_with_any_success(status: int) -> None:
    async with prepared(USER) as subject:
        subject.registry.misbehave("/token", Status(status, body=b'{"access_token": "canary-token"}'))
        assert await subject.answer() == "Bearer canary-token"


async def test_n12_14_a_token_that_is_too_long_is_refused() -> None:
    async with prepared() as subject:
        subject.registry.token_reply = {"token": "a" * (16 * 1024 + 1)}
        with pytest.raises(UpstreamError, match="without a token that can be sent"):
            await subject.answer()
        subject.clock.now += 2
        subject.registry.token_reply = {"token": "a" * 16 * 1024}
        assert len(await subject.answer()) > 16 * 1024


@pytest.mark.parametrize("status", [404, 405])
async def test_a_service_that_takes_no_get_is_given_the_form(status: int) -> None:
    async with prepared(USER) as subject:
        subject.registry.misbehave(on("GET", "/token"), Status(status))
        assert (await subject.answer()).startswith("Bearer canary-token-")
        assert [entry.method for entry in subject.asked] == ["GET", "POST"]
        assert b"grant_type=password" in subject.asked[1].body
