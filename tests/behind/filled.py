"""An object store in which one repository holds an image, as pulls look into it."""

import json

from regproxy.behind import documents
from regproxy.behind.documents import Closure, TagDocument
from regproxy.behind.holders import Holders
from regproxy.behind.tier import ObjectTier
from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import OCI_INDEX
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.freshness import TagRecord
from regproxy.policy.store import objects
from regproxy.policy.tag_history import PastMeaning
from tests.behind.replicas import APP, NOW
from tests.behind_kit import put_blob, signer

BODY = b"a blob"
BLOB = Digest.of(BODY)
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
FOUND = Descriptor(OCI_INDEX, Digest.of(MANIFEST), len(MANIFEST))
TAG = Reference(APP, Tag("1"))
HISTORY = (PastMeaning(BLOB, NOW - 5), PastMeaning(FOUND.digest, NOW))


class Filled:
    """An object store in which one repository holds all that there is."""

    def __init__(self, there: ObjectTier, index: SqliteIndex) -> None:
        self.there, self.index = there, index
        self.holders = Holders(there, index)

    async def link(self, found: Descriptor, repository: Repository = APP) -> None:
        path = objects.link("manifest", repository, found.digest)
        await self.there.store.put(path, signer().signed(path, documents.link_document(found)))

    async def fill(self) -> None:
        await put_blob(self.there, APP, BODY)
        await self.there.store.put(objects.blob(FOUND.digest), MANIFEST)
        await self.link(FOUND)
        path = objects.tag(APP, "1")
        await self.there.store.put(path, signer().signed(path, documents.tag_with_history(TagDocument(TagRecord(FOUND, NOW), HISTORY))))

    async def close(self, refused_at: float, repository: Repository = APP) -> None:
        path = objects.access(repository)
        await self.there.store.put(path, signer().signed(path, documents.closure_document(Closure(refused_at, "no"))))
