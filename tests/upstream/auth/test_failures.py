"""Failures of tokens: for whom, and for how long, they are believed."""

import asyncio
from contextlib import suppress

import pytest

from regproxy.oci.http.challenge import parse_challenges
from regproxy.policy.credential import Credential
from regproxy.ports import Refused, Throttled, Unavailable, UpstreamError
from tests.fakes.deeds import Hold, Status
from tests.upstream.auth.subject import IDENTITY, NAME, USER, is_about, prepared, scopes


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


@pytest.mark.parametrize("credential", [USER, IDENTITY], ids=["password", "identity token"])
@pytest.mark.parametrize("has_worked", [True, False])
async def test_n12_16_a_right_credential_is_not_called_wrong_because_repositories_are_forbidden(
    credential: Credential, *, has_worked: bool
) -> None:
    """Nor is it where the first thing that is asked for with it is one of them, or many are."""
    async with prepared(credential) as subject:
        if has_worked:
            await subject.answer()
        subject.registry.misbehave(is_about("forbidden"), Status(401))
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
        subject.registry.misbehave(is_about("forbidden"), Status(401))
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
        subject.registry.misbehave(is_about("forbidden"), Status(401))
        subject.registry.misbehave(lambda entry: entry.kind == "token" and not scopes(entry), Status(status))
        with pytest.raises(Refused) as caught:
            await subject.answer(name="forbidden/0")
        assert not caught.value.whatever_asked
        assert await subject.answer(name="library/b")


async def test_n12_16_a_service_whose_login_says_401_is_asked_for_what_it_gave_before() -> None:
    async with prepared(USER) as subject:
        await subject.answer()
        subject.registry.misbehave(
            lambda entry: entry.kind == "token" and not (scopes(entry) - {"repository:forbidden/0:pull"}), Status(401)
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
        subject.registry.misbehave(is_about("library/slow"), slow)
        subject.registry.misbehave(lambda entry: entry.kind == "token" and "library/slow" not in str(scopes(entry)), Status(401))
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


async def test_a_repository_that_is_denied_denies_no_other() -> None:
    async with prepared(USER) as subject:
        subject.registry.misbehave("/token", Status(401, body=b'{"errors": [{"code": "DENIED"}]}'), times=1)
        kinds = [type(answer) for answer in await subject.answer_all()]
        assert (kinds.count(Refused), kinds.count(str)) == (1, 49)


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
