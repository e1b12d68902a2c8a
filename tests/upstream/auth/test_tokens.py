"""Tokens by a clock of the tests, before a real token service."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs

import pytest
from yarl import URL

from regproxy.config import Timeouts
from regproxy.fleet.memory import NullFleet
from regproxy.oci.http.challenge import Challenge, parse_challenges
from regproxy.policy.credential import Credential, CredentialKind, Secret
from regproxy.policy.routing import Host
from regproxy.ports import Refused, Throttled, Unavailable, UpstreamError
from regproxy.upstream.auth.tokens import Tokens
from regproxy.upstream.connections import Connections
from tests.fakes.deeds import Deed, Delay, Hold, Redirect, Status, Trickle
from tests.fakes.entry import Entry, on
from tests.fakes.guard import Auth
from tests.fakes.registry import FakeRegistry
from tests.fakes.sockets import Sink

NAME = "library/app"
USER = Credential("user", Secret("canary-password"))
SLOTS = 6  # that one client gets for requests to a token service


class Clock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now = 1_785_585_600.0

    def __call__(self) -> float:
        return self.now


class Subject:
    """Tokens, the registry they are for, and what it challenges with."""

    def __init__(self, tokens: Tokens, registry: FakeRegistry, clock: Clock) -> None:
        self.tokens = tokens
        self.registry = registry
        self.clock = clock
        self.url = URL(registry.url)

    def challenge(self, name: str = NAME) -> list[Challenge]:
        return parse_challenges([f'Bearer realm="{self.registry.url}/token",service="s",scope="repository:{name}:pull"'])

    async def answer(self, rejected: str | None = None, name: str = NAME) -> str:
        answered = await self.tokens.answer(self.challenge(name), self.url, name, rejected)
        assert answered is not None
        return answered

    async def answer_all(self) -> list[str | BaseException | None]:
        """Ask for fifty repositories at once."""
        names = [f"library/{number}" for number in range(50)]
        asking = (self.tokens.answer(self.challenge(name), self.url, name, None) for name in names)
        return await asyncio.gather(*asking, return_exceptions=True)

    async def authorization(self) -> str | None:
        return await self.tokens.authorization(self.url, NAME)

    @property
    def with_password(self) -> list[Entry]:
        return [entry for entry in self.asked if "authorization" in entry.headers or b"password" in entry.body or b"refresh" in entry.body]

    @property
    def asked(self) -> list[Entry]:
        return [entry for entry in self.registry.ledger if entry.kind == "token"]


@asynccontextmanager
async def prepared(credential: Credential | None = None, auth: Auth = None, timeouts: Timeouts | None = None) -> AsyncIterator[Subject]:
    async with FakeRegistry(auth or ("password" if credential else "anonymous")) as registry:
        host = Host(registry.url, credential=credential)
        connections = Connections(host, timeouts or Timeouts())
        clock = Clock()
        tokens = Tokens("docker.io", host, connections, NullFleet(), clock, lambda: 0.5)
        try:
            yield Subject(tokens, registry, clock)
        finally:
            await tokens.close()
            await connections.close()


async def test_a_thousand_who_need_a_token_ask_once() -> None:
    async with prepared() as subject:
        headers = await asyncio.gather(*(subject.answer() for _ in range(1000)))
        assert len(set(headers)) == len(subject.asked) == 1


async def test_a_token_is_renewed_behind_the_requests() -> None:
    async with prepared() as subject:
        first = await subject.answer()
        subject.clock.now += 200
        renewal = Hold()
        subject.registry.misbehave("/token", renewal, times=1)
        assert await subject.authorization() == first, "nobody waits for the renewal"
        await renewal.reached.wait()
        assert await subject.authorization() == first
        renewal.event.set()
        subject.clock.now += 100
        second = await subject.authorization()
        assert (second != first, len(subject.asked)) == (True, 2)


async def test_a_renewal_that_fails_harms_nobody_and_is_not_repeated_at_once() -> None:
    async with prepared() as subject:
        first = await subject.answer()
        subject.clock.now += 200
        subject.registry.misbehave("/token", Status(500))
        for _ in range(5):
            assert await subject.authorization() == first
            await subject.registry.seen("/token", 2)
            await asyncio.sleep(0)
        assert len(subject.asked) <= 3


async def test_a_token_past_its_time_is_not_sent() -> None:
    async with prepared() as subject:
        first = await subject.answer()
        subject.clock.now += 271
        assert await subject.authorization() != first


@pytest.mark.parametrize(
    ("deed", "error", "memory"),
    [
        pytest.param(Status(401), Refused, 300, id="a wrong password"),
        pytest.param(Status(401, body=b'{"errors": [{"code": "DENIED"}]}'), Refused, 30, id="refused"),
        pytest.param(Status(500), Unavailable, 1, id="broken"),
        pytest.param(Status(429, {"Retry-After": "120"}), Throttled, 120, id="throttled"),
    ],
)
async def test_a_failure_reaches_all_who_wait_and_is_remembered_for_a_while(deed: Status, error: type[Exception], memory: float) -> None:
    async with prepared(USER) as subject:
        subject.registry.misbehave("/token", deed)
        failures = await asyncio.gather(*(subject.answer() for _ in range(100)), return_exceptions=True)
        assert {type(failure) for failure in failures} == {error}
        subject.clock.now += memory - 0.1
        with pytest.raises(error):
            await subject.answer()
        is_wrong = memory == 300
        assert len(subject.with_password) == 1 + is_wrong, "a wrong password is tried once more, where it alone is in request"
        subject.registry.behave()
        subject.clock.now += 0.2
        assert await subject.answer()


async def test_a_wrong_password_is_sent_once_for_all_repositories_and_once_for_none() -> None:
    async with prepared(USER) as subject:
        subject.registry.password = "canary-changed"
        assert {type(failure) for failure in await subject.answer_all()} == {Refused}
        assert [entry.query.get("scope", []) != [] for entry in subject.with_password] == [True, False]
        subject.registry.password = USER.password.value
        subject.clock.now += 301
        assert all(isinstance(header, str) for header in await subject.answer_all())


IDENTITY = Credential("", Secret("canary-refresh-token"), CredentialKind.IDENTITY)


@pytest.mark.parametrize("credential", [USER, IDENTITY], ids=["password", "identity token"])
@pytest.mark.parametrize("has_worked", [True, False])
async def test_n12_16_a_right_credential_is_not_called_wrong_because_repositories_are_forbidden(
    credential: Credential, *, has_worked: bool
) -> None:
    """Nor is it where the first thing that is asked for with it is one of them, or many are."""
    async with prepared(credential) as subject:
        if has_worked:
            await subject.answer()
        subject.registry.misbehave(_is_about("forbidden"), Status(401))
        for number in range(5):
            with pytest.raises(Refused, match="they are right, so it is about repository:forbidden") as caught:
                await subject.answer(name=f"forbidden/{number}")
            assert not caught.value.whatever_asked
            assert await subject.answer(name=f"library/{number}")
        assert subject.tokens.refused_credentials == ""
        asked = len(subject.asked)
        with pytest.raises(Refused):
            await subject.answer(name="forbidden/0")
        assert len(subject.asked) == asked, "the refusal is remembered for that repository"
        subject.clock.now += 31
        subject.registry.behave()
        assert await subject.answer(name="forbidden/0")


async def test_n12_16_forbidden_repositories_at_once_cost_one_login() -> None:
    async with prepared(USER) as subject:
        await subject.answer()
        subject.registry.misbehave(_is_about("forbidden"), Status(401))
        names = [f"forbidden/{number}" for number in range(8)]
        failures = await asyncio.gather(*(subject.answer(name=name) for name in names), return_exceptions=True)
        assert {type(failure) for failure in failures} == {Refused}
        assert sum("scope" not in entry.query for entry in subject.asked) == 1


@pytest.mark.parametrize("credential", [USER, IDENTITY], ids=["password", "identity token"])
async def test_n12_16_what_was_right_and_no_longer_is_is_wrong_for_all(credential: Credential) -> None:
    async with prepared(credential) as subject:
        first = await subject.answer()
        subject.registry.password = subject.registry.refresh_token = "canary-changed"
        with pytest.raises(Refused) as caught:
            await subject.answer(name="library/a")
        assert caught.value.whatever_asked
        asked = len(subject.with_password)
        assert {type(failure) for failure in await subject.answer_all()} == {Refused}
        assert (len(subject.with_password), await subject.authorization()) == (asked, first)


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
async def test_n12_16_a_service_that_has_no_login_is_believed_that_what_worked_works(status: int) -> None:
    async with prepared(USER) as subject:
        await subject.answer()
        subject.registry.misbehave(_is_about("forbidden"), Status(401))
        subject.registry.misbehave(lambda entry: entry.kind == "token" and not _scopes(entry), Status(status))
        with pytest.raises(Refused) as caught:
            await subject.answer(name="forbidden/0")
        assert not caught.value.whatever_asked
        assert await subject.answer(name="library/b")


async def test_n12_16_a_service_whose_login_says_401_is_asked_for_what_it_gave_before() -> None:
    async with prepared(USER) as subject:
        await subject.answer()
        subject.registry.misbehave(
            lambda entry: entry.kind == "token" and not (_scopes(entry) - {"repository:forbidden/0:pull"}), Status(401)
        )
        with pytest.raises(Refused) as caught:
            await subject.answer(name="forbidden/0")
        assert not caught.value.whatever_asked
        assert await subject.answer(name="library/b")


async def test_n12_16_what_works_while_it_is_called_wrong_is_right() -> None:
    """A success on its way when the verdict falls."""
    async with prepared(USER) as subject:
        await subject.answer()
        slow = Hold()
        subject.registry.misbehave(_is_about("library/slow"), slow)
        subject.registry.misbehave(lambda entry: entry.kind == "token" and "library/slow" not in str(_scopes(entry)), Status(401))
        slowly = asyncio.create_task(subject.answer(name="library/slow"))
        await slow.reached.wait()
        with pytest.raises(Refused):
            await subject.answer(name="library/a")
        assert subject.tokens.refused_credentials != ""
        subject.registry.behave()
        slow.event.set()
        await slowly
        assert subject.tokens.refused_credentials == ""
        assert await subject.answer(name="library/b")


async def test_n12_16_another_realm_makes_its_own_mind_up() -> None:
    async with prepared(USER) as subject:
        subject.registry.misbehave("/other", Status(401))
        elsewhere = parse_challenges([f'Bearer realm="{subject.registry.url}/other",service="s",scope="repository:a:pull"'])
        with pytest.raises(Refused):
            await subject.tokens.answer(elsewhere, subject.url, "a", None)
        assert await subject.answer()


def _scopes(entry: Entry) -> set[str]:
    form = parse_qs(entry.body.decode()) if entry.method == "POST" else entry.query
    return {scope for value in form.get("scope", []) for scope in value.split()}


def _is_about(text: str) -> Callable[[Entry], bool]:
    return lambda entry: entry.kind == "token" and any(text in scope for scope in _scopes(entry))


async def test_a_repository_that_is_denied_denies_no_other() -> None:
    async with prepared(USER) as subject:
        subject.registry.misbehave("/token", Status(401, body=b'{"errors": [{"code": "DENIED"}]}'), times=1)
        kinds = [type(answer) for answer in await subject.answer_all()]
        assert (kinds.count(Refused), kinds.count(str)) == (1, 49)


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
    async with prepared(timeouts=Timeouts(headers=1.0)) as subject:
        slow = {f"repository:library/{number}:pull" for number in range(SLOTS - 1)}
        subject.registry.misbehave(lambda entry: entry.kind == "token" and slow.issuperset(entry.query["scope"]), Hold())
        subject.registry.misbehave("/token", Delay(0.05))
        kinds = [type(answer) for answer in await subject.answer_all()]
        assert (kinds.count(Unavailable), kinds.count(str)) == (SLOTS - 1, 51 - SLOTS)


async def test_n12_13_one_timeout_is_for_all_of_a_token_and_its_redirects() -> None:
    async with prepared(timeouts=Timeouts(headers=0.5)) as subject:
        subject.registry.misbehave("/token", Delay(0.3), Redirect(lambda entry: entry.path), times=2)
        with pytest.raises(Unavailable):
            await subject.answer()


async def test_a_token_service_that_fails_before_it_judged_a_password_is_asked_once_by_all_who_wait() -> None:
    async with prepared(USER) as subject:
        subject.registry.misbehave("/token", Status(500))
        assert {type(failure) for failure in await subject.answer_all()} == {Unavailable}
        assert len(subject.asked) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
async def test_n12_14_a_failure_that_is_remembered_keeps_nothing_of_its_answer(status: int) -> None:
    """Its traceback and its cause would: frames with the body of an answer, and the requests of everyone it passed through."""
    async with prepared(USER) as subject:
        subject.registry.misbehave("/token", Status(status, body=b"x" * 60_000))
        for number in range(10):
            with suppress(UpstreamError):
                await subject.answer(name=f"library/{number % 3}")
        remembered = [failure.error for failure in subject.tokens._failures._failures.values()]
        assert remembered
        assert {(error.__traceback__, error.__context__, error.__cause__) for error in remembered} == {(None, None, None)}


async def test_the_rest_of_a_pause_is_told() -> None:
    async with prepared() as subject:
        subject.registry.misbehave("/token", Status(429, {"Retry-After": "120"}))
        with pytest.raises(Throttled):
            await subject.answer()
        subject.clock.now += 100
        with pytest.raises(Throttled) as caught:
            await subject.answer()
        assert caught.value.retry_after == pytest.approx(20)


async def test_a_rejected_token_is_replaced_once_and_again_only_after_a_while() -> None:
    async with prepared() as subject:
        first = await subject.answer()
        second = await subject.answer(first)
        with pytest.raises(Refused):
            await subject.answer(second)
        assert len(subject.asked) == 2
        subject.clock.now += 11
        assert await subject.answer(second) != second


async def test_a_late_rejection_of_an_old_token_gets_the_new_one() -> None:
    async with prepared() as subject:
        first = await subject.answer()
        second = await subject.answer(first)
        assert await subject.answer(first) == second
        assert len(subject.asked) == 2


async def test_an_identity_token_is_traded_by_form_and_never_in_a_query() -> None:
    async with prepared(Credential("", Secret("canary-refresh-token"), CredentialKind.IDENTITY)) as subject:
        assert (await subject.answer()).startswith("Bearer canary-token-")
        (asked,) = subject.asked
        form = {"grant_type": ["refresh_token"], "refresh_token": ["canary-refresh-token"], "client_id": ["regproxy"], "service": ["s"]}
        assert (asked.method, parse_qs(asked.body.decode())) == ("POST", form | {"scope": [f"repository:{NAME}:pull"]})
        assert "refresh" not in asked.path


async def test_a_registry_token_is_sent_as_it_is() -> None:
    async with prepared(Credential("", Secret("canary-ready-made"), CredentialKind.REGISTRY)) as subject:
        assert await subject.answer() == "Bearer canary-ready-made"
        assert subject.asked == []
        with pytest.raises(Refused, match="refused our credentials"):
            await subject.answer("Bearer canary-ready-made")


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


async def test_n12_14_tokens_are_bounded_by_their_size() -> None:
    """Six hundred of 16 KiB are more than a host may have; those that were used last are kept."""
    async with prepared() as subject:
        subject.registry.token_reply = {"token": "a" * 16 * 1024, "expires_in": 3600}
        for number in range(600):
            await subject.answer(name=f"library/{number}")
        assert subject.tokens.bytes_kept <= 8 * 1024 * 1024
        asked = len(subject.asked)
        await subject.answer(name="library/599")
        assert len(subject.asked) == asked


@pytest.mark.parametrize("status", [404, 405])
async def test_a_service_that_takes_no_get_is_given_the_form(status: int) -> None:
    async with prepared(USER) as subject:
        subject.registry.misbehave(on("GET", "/token"), Status(status))
        assert (await subject.answer()).startswith("Bearer canary-token-")
        assert [entry.method for entry in subject.asked] == ["GET", "POST"]
        assert b"grant_type=password" in subject.asked[1].body


BASIC = parse_challenges(['Basic realm="r"'])


async def test_a_password_that_basic_refused_is_not_sent_again_for_a_while() -> None:
    async with prepared(USER, "basic") as subject:
        subject.registry.password = "canary-changed"
        header = await subject.tokens.answer(BASIC, subject.url, NAME, None)
        assert await subject.tokens.answer(BASIC, subject.url, NAME, header) is None, "it is tried without"
        with pytest.raises(Refused) as caught:
            await subject.tokens.answer(BASIC, subject.url, NAME, None)
        assert caught.value.whatever_asked
        assert await subject.tokens.authorization(subject.url, "library/other") is None
        assert subject.tokens.refused_credentials != ""
        assert [entry.headers.get("authorization") for entry in subject.registry.ledger] == [None, header]
        subject.clock.now += 301
        assert await subject.authorization() == header


async def test_n12_16_a_password_that_basic_refused_for_one_repository_is_right_for_others() -> None:
    async with prepared(USER, "basic") as subject:
        header = await subject.tokens.answer(BASIC, subject.url, "forbidden/a", None)
        for name in ("forbidden/a", "forbidden/b"):
            with pytest.raises(Refused, match="they are right") as caught:
                await subject.tokens.answer(BASIC, subject.url, name, header)
            assert not caught.value.whatever_asked
        assert await subject.authorization() == header
        with pytest.raises(Refused):
            await subject.tokens.authorization(subject.url, "forbidden/a")
        assert subject.tokens.refused_credentials == ""
        subject.clock.now += 31
        assert await subject.tokens.authorization(subject.url, "forbidden/a") == header


@pytest.mark.parametrize("has_worked", [True, False])
async def test_n12_16_where_anybody_may_knock_only_what_worked_is_right(*, has_worked: bool) -> None:
    async with prepared(USER, "basic") as subject:
        subject.registry.auth = None
        header = await subject.tokens.answer(BASIC, subject.url, NAME, None)
        if has_worked:
            subject.tokens.accepted(subject.url, header)
            with pytest.raises(Refused):
                await subject.tokens.answer(BASIC, subject.url, "forbidden/a", header)
        else:
            assert await subject.tokens.answer(BASIC, subject.url, "forbidden/a", header) is None
        assert (subject.tokens.refused_credentials == "") is has_worked


async def test_n13_13_a_refused_credential_is_told_once_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    async with prepared(USER) as subject:
        subject.registry.public = {"public/a", "public/b"}
        subject.registry.password = "canary-changed"
        for name in ("public/a", "private", "public/b", "public/a"):
            await asyncio.gather(subject.answer(name=name), return_exceptions=True)
        (told,) = [record for record in caplog.records if record.levelname == "ERROR"]
        assert told.getMessage().startswith("credentials refused: asking anonymously")
        assert "refused our credentials" in subject.tokens.refused_credentials
        subject.clock.now += 301
        subject.registry.password = USER.password.value
        assert await subject.answer(name="private")
        assert subject.tokens.refused_credentials == ""
        assert caplog.records[-1].getMessage() == "credentials accepted again"


@pytest.mark.parametrize("deed", [Status(401), Status(403)])
async def test_n13_13_nobody_is_refused_what_our_credential_is_refused(deed: Status) -> None:
    """Where nobody gets a token either, it is told that our credential is refused, not that there is no such thing."""
    async with prepared(USER) as subject:
        subject.registry.password = "canary-changed"
        subject.registry.misbehave(lambda entry: entry.kind == "token" and "authorization" not in entry.headers, deed)
        with pytest.raises(Refused, match="refused our credentials") as caught:
            await subject.answer()
        assert caught.value.whatever_asked


async def test_n13_13_a_pause_that_anonymous_pulls_are_given_is_a_pause() -> None:
    async with prepared(USER) as subject:
        subject.registry.password = "canary-changed"
        subject.registry.misbehave(lambda entry: entry.kind == "token" and "authorization" not in entry.headers, Status(429))
        with pytest.raises(Throttled):
            await subject.answer()


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        pytest.param("", ["repository:library/app:pull"], id="nothing"),
        pytest.param("repository:other:pull", ["repository:library/app:pull"], id="for another repository"),
        pytest.param("repository:library/app:", ["repository:library/app:pull"], id="empty actions, as Huawei sends"),
        pytest.param("repository:library/app:metadata_read", ["repository:library/app:pull,metadata_read"], id="Azure's tag lists"),
        pytest.param("repository:library/app:pull,push,delete", ["repository:library/app:pull"], id="more than reading"),
        pytest.param("registry:catalog:* repository:a:pull", ["repository:library/app:pull", "registry:catalog:*"], id="several"),
        pytest.param("aws", ["aws"], id="a word of its own"),
    ],
)
async def test_the_scope_is_what_the_origin_wants_for_our_repository(said: str, asked: list[str]) -> None:
    async with prepared() as subject:
        challenge = parse_challenges([f'Bearer realm="{subject.registry.url}/token?a=b",scope="{said}"'])
        await subject.tokens.answer(challenge, subject.url, NAME, None)
        assert subject.asked[0].query == {"a": ["b"], "scope": asked}
