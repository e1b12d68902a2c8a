"""A public mirror as DaoCloud's documents describe theirs: images of an allow-list, for a while, and blobs by way of a CDN."""

from dataclasses import replace
from typing import Literal, TypeAlias

from tests.fakes.entry import Entry
from tests.fakes.registry import FakeRegistry
from tests.fakes.reply import Reply, error_reply

Stage: TypeAlias = Literal["token", "manifests", "blobs"]


class PublicMirror(FakeRegistry):
    """Has what is added to it; who asks for a repository that it does not allow hears so at its *stage*, and of lists nothing at all."""

    def __init__(self, cdn: FakeRegistry, stage: Stage = "token") -> None:
        super().__init__(auth="anonymous")
        self.cdn = cdn
        self.stage = stage
        self.allowed: set[str] = set()
        self.left: int | None = None  # requests, before it answers 429; None: it does not count

    def answer(self, entry: Entry) -> Reply:
        if self.left is not None and entry.kind in {"manifests", "blobs"}:
            self.left -= 1
            if self.left < 0:
                return error_reply(429, "TOOMANYREQUESTS", (("Retry-After", "600"),))
        if entry.kind == self.stage and not self._is_allowed(entry):
            return error_reply(403, "DENIED")
        if entry.kind in {"tags", "other"}:
            return error_reply(404, "UNSUPPORTED")
        reply = super().answer(entry)
        if entry.kind == "blobs" and reply.status == 200:
            self.cdn.add_file(path := f"/cdn/{entry.reference}?signature=canary-signed", reply.body)
            return replace(reply, status=307, headers=(("Location", f"{self.cdn.url}{path}"),), body=b"")
        return reply

    def drop(self, repository: str) -> None:
        """Forget the content of a repository, as after 30 days that nobody asked for it."""
        del self.repositories[repository]

    def _is_allowed(self, entry: Entry) -> bool:
        asked = entry.repository or "".join(entry.query.get("scope", [])).removeprefix("repository:").removesuffix(":pull")
        return asked in self.allowed
