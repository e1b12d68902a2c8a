"""The doors between deciding and acting: what the use cases ask of the world, and what it may answer."""

from regproxy.ports.errors import Corrupt, Full, Gone, NotFound, Overwhelmed, Refused, StoreError, Throttled, Unavailable, UpstreamError
from regproxy.ports.fleet import Fleet, Leases, TagCache, TokenCache
from regproxy.ports.index import Index, Kind
from regproxy.ports.ledger import Census, Image, Ledger, Part, Record
from regproxy.ports.store import BlobStore, Content, Elsewhere, Extent, Incoming, Ingest, Lying, Progress, Spool, Stage
from regproxy.ports.upstream import BlobBody, HostFinding, HostStatus, Registry, TagPage, Watched

__all__ = [
    "BlobBody",
    "BlobStore",
    "Census",
    "Content",
    "Corrupt",
    "Elsewhere",
    "Extent",
    "Fleet",
    "Full",
    "Gone",
    "HostFinding",
    "HostStatus",
    "Image",
    "Incoming",
    "Index",
    "Ingest",
    "Kind",
    "Leases",
    "Ledger",
    "Lying",
    "NotFound",
    "Overwhelmed",
    "Part",
    "Progress",
    "Record",
    "Refused",
    "Registry",
    "Spool",
    "Stage",
    "StoreError",
    "TagCache",
    "TagPage",
    "Throttled",
    "TokenCache",
    "Unavailable",
    "UpstreamError",
    "Watched",
]
