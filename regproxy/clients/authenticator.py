"""Who a client is: by a token of ours, a token of a file, a JWT, a user's password, or a certificate."""

import asyncio
import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from hmac import compare_digest

from regproxy.clients.access_tokens import AccessTokens, is_access_token
from regproxy.clients.admission import Admission, Unauthenticated
from regproxy.clients.jwts import InvalidJwt, Jwts
from regproxy.clients.passwords import Passwords
from regproxy.clients.watched_file import WatchedFile
from regproxy.config.client_tokens import ClientToken, parse_tokens
from regproxy.config.clients import ClientsEntry
from regproxy.policy.clients.authorization import Basic, Presented, is_jwt
from regproxy.policy.clients.htpasswd import Htpasswd, parse_htpasswd
from regproxy.policy.clients.identity import NOBODY, Identity, matches
from regproxy.policy.clock import WallClock
from regproxy.policy.credential import Credential, CredentialKind, Secret

_LOOK_EVERY = 1.0  # seconds
_MAX_JWT_BELIEVED = 300.0  # seconds, until a key that was withdrawn counts no more

_NO_TOKENS: Mapping[str, ClientToken] = {}
_NO_ENTRY = ClientsEntry(anonymous=True)


class Authenticator:
    """Tells who clients are."""

    def __init__(self, entry: ClientsEntry | None, keys: str, *, may_prove: bool = False, clock: WallClock = time.time) -> None:
        """Go by *entry*; None lets everybody in.

        *keys* seal our tokens. *may_prove* takes what nobody here knows for a credential of an upstream. *clock* returns epoch seconds.
        """
        self._entry = entry or _NO_ENTRY
        self._may_prove = may_prove
        self._clock = clock
        self.tokens = AccessTokens(keys, clock)
        self._passwords = Passwords()
        self._jwts = Jwts(self._entry.jwt, clock)
        users, listed = self._entry.htpasswd, self._entry.tokens
        self._users = WatchedFile(users, parse_htpasswd, Htpasswd({})) if users is not None else None
        self._listed = WatchedFile(listed, parse_tokens, _NO_TOKENS) if listed is not None else None
        self._names: Mapping[bytes, str] = {}  # of listed tokens, by their digest
        self.generation = 0  # changes when what was found out before may be wrong

    @property
    def is_open(self) -> bool:
        """Whether nobody has to be somebody."""
        return self._entry.anonymous

    async def refresh(self) -> None:
        """Read again the files that have changed."""
        changed = [await each.refresh() for each in (self._users, self._listed) if each is not None]
        if any(changed):
            if self._listed is not None:
                self._names = {_digest(entry.token): name for name, entry in self._listed.content.items()}
            self.generation += 1

    async def run(self, every: float = _LOOK_EVERY) -> None:
        """Look for files that have changed, for ever."""
        while True:
            await self.refresh()
            await asyncio.sleep(every)

    async def close(self) -> None:
        await self._passwords.close()
        await self._jwts.close()

    async def admit(self, presented: Presented | None, certificate: Sequence[str], address: str) -> Admission:
        """Return who shows this, from *address*; *certificate* are the names of a certificate that is vouched for.

        Raise `Unauthenticated`, or `RegistryError` where that cannot be found out now.
        """
        if presented is None:
            return Admission(self._without(certificate), claims={"kind": "nobody"})
        if isinstance(presented, Basic):
            return await self._by_password(presented, certificate, address)
        token = presented.token.value
        if is_access_token(token):
            return self._by_access_token(token, certificate)
        if (name := self._names.get(_digest(presented.token))) is not None and self._listed is not None:
            return self._by_listed(name, self._listed.content[name])
        if is_jwt(token) and self._entry.jwt:
            return await self._by_jwt(presented.token)
        raise Unauthenticated("this token is none of ours, and no JWT of a configured issuer", is_token=True)

    def with_identity_token(self, token: Secret, certificate: Sequence[str]) -> Admission:
        """Return who shows a refresh token of an upstream; raise `Unauthenticated`."""
        if not self._may_prove:
            raise Unauthenticated("refresh tokens are not issued here: log in with a user and a password")
        return self._to_prove(Credential("", token, CredentialKind.IDENTITY), certificate)

    def _without(self, certificate: Iterable[str]) -> Identity:
        """Return who a client is that shows nothing but, maybe, a certificate."""
        for entry in self._entry.certificates:
            for name in certificate:
                if matches((entry.match,), name):
                    return Identity(name, entry.allow)
        if self.is_open:
            return NOBODY
        raise Unauthenticated("log in to pull from this cache")

    async def _by_password(self, shown: Basic, certificate: Sequence[str], address: str) -> Admission:
        name, listed = shown.username, self._listed.content if self._listed is not None else _NO_TOKENS
        if (known := listed.get(name)) is not None and compare_digest(_digest(known.token), _digest(shown.password)):
            return self._by_listed(name, known)
        if is_jwt(shown.password.value) and self._entry.jwt:
            return await self._by_jwt(shown.password)
        if self._users is not None:
            hashed = self._users.content.hashes.get(name)
            is_checked = hashed is not None or not self._may_prove
            if is_checked and await self._passwords.is_right(name, shown.password, hashed, address) and hashed is not None:
                return self._by_user(name, hashed)
        if self._may_prove and (self.is_open or certificate):
            return self._to_prove(Credential(name, shown.password), certificate)
        raise Unauthenticated("wrong user or password")

    def _by_user(self, name: str, hashed: bytes) -> Admission:
        if self._users is None or self._users.content.hashes.get(name) != hashed:  # it changed while it was compared
            raise Unauthenticated("wrong user or password")
        client = Identity(name, self._entry.htpasswd_allow.get(name))
        return Admission(client, claims={"kind": "user", "name": name, "mark": self.tokens.fingerprint(hashed)})

    def _by_listed(self, name: str, known: ClientToken) -> Admission:
        mark = self.tokens.fingerprint(known.token.value.encode())
        return Admission(Identity(name, known.allow), claims={"kind": "token", "name": name, "mark": mark})

    async def _by_jwt(self, token: Secret) -> Admission:
        try:
            found = await self._jwts.verify(token)
        except InvalidJwt as error:
            raise Unauthenticated(f"the JWT is refused: {error}", is_token=True) from None
        claims = {"kind": "jwt", "iss": found.issuer, "aud": found.audience, "sub": found.subject, "exp": str(found.until)}
        return Admission(found.client, min(found.until, self._clock() + _MAX_JWT_BELIEVED), claims=claims)

    def _to_prove(self, credential: Credential, certificate: Sequence[str]) -> Admission:
        who = {"username": credential.username, "password": credential.password.value, "type": credential.kind.value}
        return Admission(self._without(certificate), credential=credential, claims={"kind": "credential", **who})

    def _by_access_token(self, token: str, certificate: Sequence[str]) -> Admission:
        opened = self.tokens.claims(token)
        found = self._of_claims(opened[0], opened[1], certificate) if opened is not None else None
        if found is None:
            raise Unauthenticated("this token has expired, or what it was given for has changed: log in again", is_token=True)
        return found

    def _of_claims(self, claims: Mapping[str, str], until: float, certificate: Sequence[str]) -> Admission | None:
        """Return who a token of ours says a client is, as far as that still holds."""
        match claims:
            case {"kind": "nobody"}:
                return Admission(self._without(certificate), until, claims=claims)
            case {"kind": "user", "name": name, "mark": mark}:
                hashed = self._users.content.hashes.get(name) if self._users is not None else None
                if hashed is None or not self.tokens.has_fingerprint(hashed, mark):
                    return None
                return Admission(Identity(name, self._entry.htpasswd_allow.get(name)), until, claims=claims)
            case {"kind": "token", "name": name, "mark": mark}:
                known = self._listed.content.get(name) if self._listed is not None else None
                if known is None or not self.tokens.has_fingerprint(known.token.value.encode(), mark):
                    return None
                return Admission(Identity(name, known.allow), until, claims=claims)
            case {"kind": "jwt", "iss": issuer, "aud": audience, "sub": subject, "exp": ends}:
                client, until = self._jwts.known(issuer, audience, subject), min(until, float(ends))
                return Admission(client, until, claims=claims) if client is not None and self._clock() < until else None
            case {"kind": "credential", "username": username, "password": password, "type": kind} if self._may_prove:
                credential = Credential(username, Secret(password), CredentialKind(kind))
                return Admission(self._without(certificate), until, credential, claims)
        return None


def _digest(secret: Secret) -> bytes:
    return hashlib.sha256(secret.value.encode()).digest()
