"""What is known about content and tags."""

from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Protocol

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository
from regproxy.policy.access import Access
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.policy.tag_history import History, PastMeaning


class Kind(Enum):
    """What content was pulled as. A manifest fetched as a blob has no media type, so the two are kept apart."""

    MANIFEST = "manifest"
    BLOB = "blob"


class Index(Protocol):
    """What is known about content and tags. It may be lost: the store and upstream are the truth."""

    @property
    def generation(self) -> int:
        """A number that changes, in every process of the machine, when earlier answers are invalid; reading it is free.

        Whoever remembers an answer takes it before asking, and forgets the answer when it has changed. A tag that was found to mean the
        same once more is no change.
        """

    async def tag(self, reference: Reference) -> TagRecord | None: ...

    async def meanings(self, reference: Reference) -> History:
        """Return what a tag meant, as far as it is known; it is kept where the rest of the index is lost."""

    async def histories(self, repository: Repository) -> Mapping[str, History]:
        """Return what the tags of *repository* meant, by tag."""

    async def put_tag(self, reference: Reference, record: TagRecord, cooldown: float = 0.0, others: Collection[PastMeaning] = ()) -> None:
        """Record what a tag means now, and what *others* have seen it mean; what a *cooldown* of so many seconds needs is kept.

        Where something is on record that was said later, unless that is in the future, *record* is what the tag meant before.
        """

    async def adopt_tag(self, reference: Reference, record: TagRecord, others: Collection[PastMeaning] = ()) -> None:
        """Record what a tag means and meant to another machine, unless something is on record here."""

    async def put_deleted(self, reference: Reference, now: float, cooldown: float = 0.0, others: Collection[PastMeaning] = ()) -> None:
        """Record, as `put_tag`, that upstream has no such tag any longer."""

    async def drop_tag(self, reference: Reference) -> None: ...

    async def held(self, kind: Kind, repository: Repository, digest: Digest) -> Descriptor | None:
        """Describe content that *repository* is known to hold, unless it is closed."""

    async def known(self, kind: Kind, digest: Digest) -> Descriptor | None:
        """Describe content, whichever repository holds it."""

    async def put(self, kind: Kind, repository: Repository, descriptor: Descriptor, children: Collection[Digest] = ()) -> bool:
        """Record that *repository* holds the content, which needs *children*, and report whether that is on record now."""

    async def access(self, repository: Repository) -> Access:
        """Return what upstream said last of whether *repository* may be read."""

    async def put_confirmed(self, repository: Repository, asked_at: float) -> bool:
        """Record that upstream lets *repository* be read, and report whether that opens it; what was asked before a refusal does not."""

    async def put_refused(self, repository: Repository, reason: str) -> bool:
        """Record that upstream refuses *repository* now, and report whether that closes it.

        A closed repository holds nothing, and its listings are forgotten.
        """

    async def put_imported(self, repository: Repository) -> None:
        """Record that an operator put content into *repository*, which opens it."""

    async def manifests_of(self, repository: Repository, most: int) -> Sequence[Digest]:
        """List at most so many manifests of *repository*, closed or not; those used last come first."""

    async def digest_named(self, reference: str) -> Digest | None:
        """Return the digest that a tag has on record, where *reference* names exactly one."""

    async def repositories(self, registry: str, last: str, most: int) -> Sequence[str]:
        """List repositories of *registry* of which manifests are held, by name, those after *last*, at most *most*."""

    async def freezes(self) -> Sequence[Freeze]:
        """List what operators froze."""

    async def put_freeze(self, freeze: Freeze) -> None: ...

    async def drop_freeze(self, pattern: str) -> bool:
        """Forget a freeze, and report whether there was one."""

    async def signed(self, digest: Digest, policy: str) -> Digest | None:
        """Return whose signature was found to be right for *digest* by *policy*: its own, or that of an index that lists it."""

    async def put_signed(self, parent: Digest, policy: str, digests: Sequence[Digest]) -> None:
        """Record that *digests* are signed by *policy*, by the signature of *parent*."""

    async def parents(self, repository: Repository, digest: Digest, most: int) -> Sequence[Digest]:
        """List at most so many manifests of *repository* that point to *digest*."""

    async def listing(self, key: str) -> bytes | None:
        """Return the last answer to a listing, for when upstream is down."""

    async def put_listing(self, key: str, body: bytes) -> None: ...
