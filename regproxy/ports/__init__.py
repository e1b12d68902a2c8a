"""The doors between deciding and acting: what the use cases ask of the world, and what it may answer."""

from regproxy.ports.errors import Corrupt, Full, Gone, NotFound, Refused, StoreError, Throttled, Unavailable, UpstreamError
from regproxy.ports.fleet import Fleet, Leases, TagCache, TokenCache
from regproxy.ports.index import Index, Kind
from regproxy.ports.ledger import Census, Image, Ledger, Part, Record
from regproxy.ports.store import BlobStore, Content, Extent, Ingest, Lying, Spool
from regproxy.ports.upstream import BlobBody, HostFinding, HostStatus, Registry, TagPage

__all__ = [
    "BlobBody",
    "BlobStore",
    "Census",
    "Content",
    "Corrupt",
    "Extent",
    "Fleet",
    "Full",
    "Gone",
    "HostFinding",
    "HostStatus",
    "Image",
    "Index",
    "Ingest",
    "Kind",
    "Leases",
    "Ledger",
    "Lying",
    "NotFound",
    "Part",
    "Record",
    "Refused",
    "Registry",
    "Spool",
    "StoreError",
    "TagCache",
    "TagPage",
    "Throttled",
    "TokenCache",
    "Unavailable",
    "UpstreamError",
]
