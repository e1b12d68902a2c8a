"""What an operator looks through: a page of images, with their tags, whether those are stale, and the platforms that are here."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from regproxy import large
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.document import parse_json
from regproxy.oci.errors import RegistryError
from regproxy.oci.reference import Tag
from regproxy.policy.clock import WallClock
from regproxy.policy.freshness import TagRecord, is_fresh
from regproxy.policy.routing import Routes
from regproxy.ports import ContentReader, ImageTags, Ledger, Part, StoreError

MAX_LIMIT = 200
_MAX_SEARCH = 300  # characters
_MAX_DOCUMENT = 4 * 1024 * 1024  # bytes of a manifest or configuration that is read
_MAX_PLATFORMS = 32
_MAX_TEXT = 40  # characters of a platform


@dataclass(frozen=True, slots=True)
class ListedTag:
    """A tag, when upstream was last asked about it, and whether the next pull has to ask again."""

    name: str
    checked_at: float
    is_stale: bool


class Catalogue:
    """The images of a store, for people."""

    def __init__(self, ledger: Ledger, reader: ContentReader, routes: Routes, clock: WallClock) -> None:
        """List by *ledger*, read manifests by *reader*, find the rules for tags by *routes*; *clock* returns epoch seconds."""
        self._ledger = ledger
        self._reader = reader
        self._routes = routes
        self._clock = clock

    async def page(self, search: str = "", offset: int = 0, limit: int = 50) -> dict[str, object]:
        """List up to `MAX_LIMIT` of the images that match, and count them all; raise `ValueError` or `StoreError`."""
        if not (0 <= offset < 1 << 31 and 1 <= limit <= MAX_LIMIT) or len(search) > _MAX_SEARCH:
            raise ValueError(f"offset is 0 or more, limit 1 to {MAX_LIMIT}, and search {_MAX_SEARCH} characters at most")
        found, images = await self._ledger.page(search.strip(), offset, limit)
        return {"found": found, "offset": offset, "images": [await self._written(each) for each in images]}

    async def _written(self, listed: ImageTags) -> dict[str, object]:
        image = listed.image
        tags = [asdict(self._tag(name, image.digest, checked_at)) for name, checked_at in listed.tags]
        shown = {**asdict(image), "digest": str(image.digest)}
        return {**shown, "pulls": listed.pulls, "tags": tags, "platforms": await self._platforms(image.digest)}

    def _tag(self, name: str, digest: Digest, checked_at: float) -> ListedTag:
        try:
            route, reference = self._routes.image(name)
        except RegistryError:
            return ListedTag(name, checked_at, is_stale=True)  # of an upstream that is configured no more
        tag = reference.target
        if not isinstance(tag, Tag):
            return ListedTag(name, checked_at, is_stale=False)
        rule = route.upstream.tag_policy(route.repository.name, tag.name)
        record = TagRecord(Descriptor("", digest, 0), checked_at)
        return ListedTag(name, checked_at, not is_fresh(record, rule, self._clock()))

    async def _platforms(self, image: Digest) -> list[str]:
        """List the platforms whose manifest is here; of content that is damaged or unusual, none."""
        try:
            parts: dict[Digest | None, Part] = {part.digest: part for part in await self._ledger.parts(image)}
            document = await self._document(parts.get(image))
            found = [await self._of_entry(entry, parts) for entry in _objects(document.get("manifests"))[:_MAX_PLATFORMS]]
            if isinstance(config := document.get("config"), Mapping):
                found.append(_platform(await self._document(parts.get(_digest(config)))))
        except (StoreError, ValueError):
            return []
        return list(dict.fromkeys(each for each in found if each))

    async def _of_entry(self, entry: Mapping[str, object], parts: Mapping[Digest | None, Part]) -> str:
        if _digest(entry) not in parts:
            return ""
        platform = entry.get("platform")
        return _platform(platform) if isinstance(platform, Mapping) else ""

    async def _document(self, part: Part | None) -> Mapping[str, object]:
        if part is None or part.size > _MAX_DOCUMENT:
            return {}
        body = await self._reader.read(part.digest, part.size)
        document = await large.parsed(len(body), lambda: parse_json(body)) if body is not None else {}
        return document if isinstance(document, dict) else {}


def _objects(value: object) -> list[Mapping[str, object]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _digest(entry: Mapping[str, object]) -> Digest | None:
    text = entry.get("digest")
    return Digest.parse(text) if isinstance(text, str) else None


def _platform(of: Mapping[str, object]) -> str:
    """Write it as `docker pull --platform` takes it; what belongs to no platform, such as an attestation, has none."""
    words = [of.get("os"), of.get("architecture"), of.get("variant")]
    named = [word[:_MAX_TEXT] for word in words if isinstance(word, str) and word]
    return "" if len(named) < 2 or "unknown" in named else "/".join(named)
