"""The client for whose sake something is done, as known to everything that is done for it."""

from contextvars import ContextVar

client: ContextVar[str] = ContextVar("client", default="")  # a key of `sharing.client_key`; empty for what nobody asked for
