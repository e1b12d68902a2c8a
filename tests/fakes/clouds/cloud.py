"""What the fakes of all clouds have in common: a clock that may differ from ours."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate

from tests.fakes.entry import Entry
from tests.fakes.reply import Reply, error_reply
from tests.fakes.server import FakeServer

ACCESS_KEY = "AKIDEXAMPLE"
SECRET_KEY = "canary-cloud-secret-key"


class FakeCloud(FakeServer):
    """Answers by a clock, and says what time it is."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self.skew = 0.0  # seconds by which its clock is ahead of ours
        self.lifetime = 3600.0  # seconds for which what is issued is good
        self.issued: list[str] = []  # passwords

    def now(self) -> float:
        return self._clock() + self.skew

    def end(self) -> str:
        """Say when what is issued now ends."""
        return datetime.fromtimestamp(self.now() + self.lifetime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def issue(self) -> str:
        """Make a password."""
        self.issued.append(f"canary-issued-{len(self.issued) + 1}")
        return self.issued[-1]

    def answer(self, entry: Entry) -> Reply:
        reply = self.said(entry) or error_reply(404, "NOT_FOUND")
        return Reply(reply.status, (*reply.headers, ("Date", formatdate(self.now(), usegmt=True))), reply.body)

    def said(self, entry: Entry) -> Reply | None:
        raise NotImplementedError
