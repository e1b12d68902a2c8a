"""Tokens by a clock of the tests, before a real token service."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

from yarl import URL

from regproxy.config import Timeouts
from regproxy.fleet.memory import NullFleet
from regproxy.oci.http.challenge import Challenge, parse_challenges
from regproxy.policy.clouds.sources import CredentialSource
from regproxy.policy.credential import Credential, CredentialKind, Secret
from regproxy.policy.routing import Host
from regproxy.upstream.auth.tokens import Tokens
from regproxy.upstream.connections import Connections
from tests.fakes.entry import Entry
from tests.fakes.guard import Auth
from tests.fakes.registry import FakeRegistry

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
async def prepared(
    credential: Credential | None = None, auth: Auth = None, timeouts: Timeouts | None = None, source: CredentialSource | None = None
) -> AsyncIterator[Subject]:
    async with FakeRegistry(auth or ("password" if credential else "anonymous")) as registry:
        host = Host(registry.url, credential=credential, credential_source=source)
        connections = Connections(host, timeouts or Timeouts())
        clock = Clock()
        tokens = Tokens("docker.io", host, connections, NullFleet(), clock, lambda: 0.5)
        try:
            yield Subject(tokens, registry, clock)
        finally:
            await tokens.close()
            await connections.close()


IDENTITY = Credential("", Secret("canary-refresh-token"), CredentialKind.IDENTITY)


def scopes(entry: Entry) -> set[str]:
    form = parse_qs(entry.body.decode()) if entry.method == "POST" else entry.query
    return {scope for value in form.get("scope", []) for scope in value.split()}


def is_about(text: str) -> Callable[[Entry], bool]:
    return lambda entry: entry.kind == "token" and any(text in scope for scope in scopes(entry))
