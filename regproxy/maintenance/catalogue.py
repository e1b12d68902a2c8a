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
from regproxy.sized_cache import SizedCache

MAX_LIMIT = 200
_MAX_SEARCH = 300  # characters
_MAX_DOCUMENT = 4 * 1024 * 1024  # bytes of a manifest or configuration that is read
_MAX_PLATFORMS = 32
_MAX_TEXT = 40  # characters of a platform
_MAX_REMEMBERED = 2 * 1024 * 1024  # bytes of what documents said, some 10,000 images
_ENTRY_BYTES = 200  # a digest, a platform, and what holds them


@dataclass(frozen=True, slots=True)
class ListedTag:
    """A tag, when upstream was last asked about it, and whether the next pull has to ask again."""

    name: str
    checked_at: float
    is_stale: bool


@dataclass(frozen=True, slots=True)
class _Platforms:
    """What a document says of platforms: its own, those of its manifests, and the configuration that has to be asked."""

    own: str = ""
    entries: tuple[tuple[Digest | None, str], ...] = ()
    config: Digest | None = None


class Catalogue:
    """The images of a store, for people."""

    def __init__(self, ledger: Ledger, reader: ContentReader, routes: Routes, clock: WallClock) -> None:
        """List by *ledger*, read manifests by *reader*, find the rules for tags by *routes*; *clock* returns epoch seconds."""
        self._ledger = ledger
        self._reader = reader
        self._routes = routes
        self._clock = clock
        self._remembered: SizedCache[Digest, _Platforms] = SizedCache(_MAX_REMEMBERED)  # a page is asked for again and again

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
            said = await self._said(parts.get(image))
            found = [platform for digest, platform in said.entries if digest in parts]
            if said.config is not None:
                found.append((await self._said(parts.get(said.config))).own)
        except (StoreError, ValueError):
            return []
        return list(dict.fromkeys(each for each in found if each))

    async def _said(self, part: Part | None) -> _Platforms:
        """Return what a document says. It never changes, so it is read once."""
        if part is None or part.size > _MAX_DOCUMENT:
            return _Platforms()
        if (known := self._remembered.get(part.digest)) is not None:
            return known
        body = await self._reader.read(part.digest, part.size)
        if body is None:
            return _Platforms()
        said = await large.parsed(len(body), lambda: _read(parse_json(body)))
        self._remembered.put(part.digest, said, _ENTRY_BYTES * (1 + len(said.entries)))
        return said


def _read(document: object) -> _Platforms:
    if not isinstance(document, dict):
        return _Platforms()
    entries = tuple((_digest(entry), _of_entry(entry)) for entry in _objects(document.get("manifests"))[:_MAX_PLATFORMS])
    config = document.get("config")
    return _Platforms(_platform(document), entries, _digest(config) if isinstance(config, Mapping) else None)


def _of_entry(entry: Mapping[str, object]) -> str:
    platform = entry.get("platform")
    return _platform(platform) if isinstance(platform, Mapping) else ""


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
