"""Each source of events: how it shows a secret, and how it is read."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from regproxy.policy.clients.token_bucket import Rate
from regproxy.policy.credential import Secret
from regproxy.policy.hooks import cloudevents, harbor, hubs, notifications
from regproxy.policy.hooks.event import MAX_EVENTS, Event, Headers, InvalidEvent
from regproxy.policy.hooks.sender import Shown, has_signed, knows


class Source(StrEnum):
    """Who sends events; by these names the setting `hooks` knows them."""

    DOCKERHUB = "dockerhub"
    HARBOR = "harbor"
    DISTRIBUTION = "distribution"
    QUAY = "quay"
    GITHUB = "github"
    ALIYUN = "aliyun"
    TENCENT = "tencent"
    HUAWEI = "huawei"
    AZURE = "azure"
    ECR = "ecr"
    CLOUDEVENTS = "cloudevents"
    KRAKEN = "kraken"  # Harbor's preheat drivers
    DRAGONFLY = "dragonfly"

    @property
    def signs(self) -> bool:
        """Whether it signs the body, and never shows the secret."""
        return self is Source.GITHUB

    @property
    def preheats(self) -> bool:
        """Whether it wants images brought in, and has paths of its own."""
        return self in {Source.KRAKEN, Source.DRAGONFLY}


_BY_URL = frozenset({Source.DOCKERHUB, Source.QUAY, Source.ALIYUN, Source.CLOUDEVENTS})  # some cannot send a header
_READERS: Mapping[Source, Callable[[bytes, Headers], Iterator[Event]]] = {
    Source.DOCKERHUB: hubs.dockerhub,
    Source.HARBOR: harbor.harbor,
    Source.DISTRIBUTION: notifications.distribution,
    Source.QUAY: hubs.quay,
    Source.GITHUB: hubs.github,
    Source.ALIYUN: hubs.aliyun,
    Source.TENCENT: harbor.harbor,
    Source.HUAWEI: harbor.harbor,
    Source.AZURE: notifications.azure,
    Source.ECR: cloudevents.ecr,
    Source.CLOUDEVENTS: cloudevents.cloudevents,
    Source.KRAKEN: notifications.distribution,
}


@dataclass(frozen=True, slots=True)
class Hook:
    """One entry of the setting `hooks`: whoever knows *secret* (None: anybody) sends events of *upstream* (None: as each event says)."""

    source: Source
    secret: Secret | None
    upstream: str | None
    rate: Rate

    def admits(self, shown: Shown, body: bytes) -> bool:
        """Report whether a request with *body* is from its sender; the body matters only where the source signs it."""
        if self.secret is None:
            return True
        if self.source.signs:
            return has_signed(self.secret, shown, body)
        return knows(self.secret, shown, by_url=self.source in _BY_URL)


def read(source: Source, body: bytes, headers: Headers) -> tuple[Event, ...]:
    """Read the events of a body, each once; raise `InvalidEvent`."""
    found = tuple(islice(_READERS[source](body, headers), MAX_EVENTS + 1))
    if len(found) > MAX_EVENTS:
        raise InvalidEvent(f"the body has more than {MAX_EVENTS} events")
    return tuple(dict.fromkeys(found))
