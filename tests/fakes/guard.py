"""Whom a fake registry lets in, and its token service."""

import base64
import itertools
import secrets
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias
from urllib.parse import parse_qs

from tests.fakes.entry import Entry
from tests.fakes.reply import Reply, error_reply, json_reply

Auth: TypeAlias = Literal["anonymous", "password", "basic"] | None
TokenBody: TypeAlias = Mapping[str, object] | bytes


class Guard:
    """Asks for nothing (None), a token anyone may have, a token for a password, or the password itself ("basic")."""

    def __init__(self, auth: Auth, username: str, password: str) -> None:
        self.auth = auth
        self.username = username
        self.password = password
        self.refresh_token = "canary-refresh-token"
        self.service = "fake-registry"
        self.others: set[str] = set()  # users who may as much, each as Basic has it
        self.public: set[str] = set()  # repositories that a password guards not
        self.realm: str | Callable[[], str] | None = None  # our own /token unless it is set
        self.challenge: Callable[[str], list[str]] | None = None  # all WWW-Authenticate headers, by repository
        self.token_reply: TokenBody | Callable[[str], TokenBody] | None = None  # sent instead; a function is given the new token
        self.token_lifetime = 300  # what is said; only `expire_tokens` ends a token
        self.rejects_tokens = False  # even good ones
        self.tokens: dict[str, frozenset[str]] = {}  # those that are good, and their scopes
        self.issued: list[str] = []  # all that ever were
        self._numbers = itertools.count(1)

    def expire_tokens(self) -> None:
        self.tokens.clear()

    def challenged(self, entry: Entry, own_realm: str) -> Reply | None:
        """Answer 401, or None to a request that carries what it takes."""
        if self.auth is None or self._admits(entry):
            return None
        headers = tuple(("WWW-Authenticate", value) for value in self._challenges(entry.repository, own_realm))
        return error_reply(401, "UNAUTHORIZED", headers)

    def token(self, entry: Entry) -> Reply:
        """Answer the token endpoint: GET with a query and perhaps Basic, POST with a form."""
        form = parse_qs(entry.body.decode("utf-8", "replace")) if entry.method == "POST" else entry.query
        scopes = frozenset(scope for value in form.get("scope", []) for scope in value.split())
        is_known = self._knows(entry, form if entry.method == "POST" else {})
        if is_known is False or (is_known is None and self.auth == "password" and not self._are_public(scopes)):
            return error_reply(401, "UNAUTHORIZED")
        return self._issue(scopes, with_refresh_token="offline" in form.get("access_type", []) or "offline_token" in form)

    def mint(self, scopes: frozenset[str]) -> str:
        """Make a token that is good for *scopes*."""
        token = f"canary-token-{next(self._numbers)}-{secrets.token_hex(8)}"
        self.tokens[token] = scopes
        self.issued.append(token)
        return token

    def _issue(self, scopes: frozenset[str], *, with_refresh_token: bool) -> Reply:
        token = self.mint(scopes)
        said = self.token_reply(token) if callable(self.token_reply) else self.token_reply
        if isinstance(said, bytes):
            return Reply(200, (("Content-Type", "application/json"),), said)
        body = {"token": token, "access_token": token, "expires_in": self.token_lifetime} if said is None else dict(said)
        return json_reply(body | {"refresh_token": self.refresh_token} if with_refresh_token else body)

    def _admits(self, entry: Entry) -> bool:
        scheme, _, value = entry.headers.get("authorization", "").partition(" ")
        if self.auth == "basic":
            return value.strip() == self._basic() if scheme.lower() == "basic" else entry.repository in self.public
        if scheme.lower() != "bearer" or self.rejects_tokens:
            return False
        scopes = self.tokens.get(value.strip())
        return scopes is not None and (not entry.repository or any(_may_pull(scope, entry.repository) for scope in scopes))

    def _challenges(self, repository: str, own_realm: str) -> list[str]:
        if self.challenge is not None:
            return self.challenge(repository)
        if self.auth == "basic":
            return [f'Basic realm="{self.service}"']
        realm = self.realm() if callable(self.realm) else self.realm or own_realm
        scope = f',scope="repository:{repository}:pull"' if repository else ""
        return [f'Bearer realm="{realm}",service="{self.service}"{scope}']

    def _knows(self, entry: Entry, form: Mapping[str, list[str]]) -> bool | None:
        """Say whether the credential is right; None if there is none."""
        scheme, _, value = entry.headers.get("authorization", "").partition(" ")
        if scheme:
            return scheme.lower() == "basic" and value.strip() in {self._basic(), *self.others}
        if "refresh_token" in form:
            return form["refresh_token"] == [self.refresh_token]
        if "password" in form:
            return form["password"] == [self.password] and form.get("username") == [self.username]
        return None

    def _are_public(self, scopes: frozenset[str]) -> bool:
        return bool(scopes) and all(scope.partition(":")[2].rpartition(":")[0] in self.public for scope in scopes)

    def _basic(self) -> str:
        return base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def _may_pull(scope: str, repository: str) -> bool:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    return kind == "repository" and name == repository and not {"pull", "*"}.isdisjoint(actions.split(","))
