"""The caches that a question has come through, ours included, as known to everything that is done for its sake."""

from contextvars import ContextVar

from regproxy.oci.http.via import Hops

chain: ContextVar[Hops] = ContextVar("chain", default=())  # what was begun for nobody's question has come through none
