"""What one host is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from regproxy.policy.upstream.verdicts import HEAD_PROVES_NOTHING
from regproxy.upstream.connections import Pool


@dataclass(frozen=True, slots=True)
class HostRequest:
    """A request for `/v2/<name>/<rest>`."""

    method: str
    name: str
    rest: str
    pool: Pool
    headers: Mapping[str, str] = field(default_factory=dict)
    connect: float | None = None  # seconds for a handshake, where a caller waits for less than usual
    understood: frozenset[int] = frozenset()  # statuses that are for the asker to understand
    is_verified: bool = False  # what it brings is compared with a digest, so that it does not matter which registry it is about

    @property
    def subject(self) -> str:
        """What is asked for, as a person writes it."""
        kind, _, reference = self.rest.partition("/")
        if kind not in {"manifests", "blobs", "referrers"}:
            return self.name
        return f"{self.name}{'@' if ':' in reference else ':'}{reference.partition('?')[0]}"

    def expects(self, status: int) -> bool:
        """Whether that is for the asker to understand: where a part ends, and whether a HEAD is answered as a GET would be."""
        return (
            status in self.understood
            or (status == 416 and "Range" in self.headers)
            or (self.method == "HEAD" and status in HEAD_PROVES_NOTHING)
        )
