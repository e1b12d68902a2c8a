"""A job of Dragonfly's open API, as Harbor's driver and dfctl begin one (goharbor/harbor, src/pkg/p2p/preheat/provider/dragonfly.go)."""

import re
from dataclasses import dataclass

from regproxy.policy.hooks.event import Event, InvalidEvent, document, event, host_of, text
from regproxy.policy.platform import Platform

_URL = re.compile(r"https?://[^/?#]+/v2/(?P<repository>[^?#]+)/manifests/(?P<target>[^/?#]+)")


@dataclass(frozen=True, slots=True)
class Preheat:
    """An image that is to be here, for *platforms*; none are all."""

    image: Event
    platforms: tuple[str, ...]


def preheat(body: bytes) -> Preheat:
    """Read the job; raise `InvalidEvent`. The headers in it carry a credential of the registry: they are not even looked at."""
    found = document(body)
    if text(found, "type") != "preheat" or text(found, "args", "type") != "image":
        raise InvalidEvent("only jobs of type preheat for args.type image are taken")
    url = text(found, "args", "url")
    named = _URL.fullmatch(url)
    if not named:
        raise InvalidEvent("args.url is not the URL of a manifest, such as https://registry.example/v2/org/app/manifests/1")
    platform = text(found, "args", "platform")
    try:
        platforms = (str(Platform.parse(platform)),) if platform else ()
    except ValueError as wrong:
        raise InvalidEvent(f"args.platform {wrong}") from None
    return Preheat(event(host_of(url), named["repository"], named["target"]), platforms)
