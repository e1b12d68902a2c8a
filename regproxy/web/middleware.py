"""What happens around every request: it is parsed, answered, its errors are translated, and it is logged."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from urllib.parse import parse_qs

from aiohttp import web

from regproxy.oci import endpoint as endpoints
from regproxy.oci import errors
from regproxy.oci.errors import RegistryError
from regproxy.ports import StoreError, UpstreamError
from regproxy.telemetry import tracing
from regproxy.telemetry.log import fields
from regproxy.web.access_log import AccessLogEntry
from regproxy.web.buffered import BufferedResponse
from regproxy.web.clients.entrance import TOKEN_PATH
from regproxy.web.clients.metering import charge_buffered
from regproxy.web.clients.token_endpoint import issue
from regproxy.web.connection.server import cache_key_of
from regproxy.web.context import RequestContext
from regproxy.web.failures import upstream_failure
from regproxy.web.fleet.pieces import PREFIX
from regproxy.web.handlers import Handlers
from regproxy.web.parameters import path_of
from regproxy.web.response_cache import ResponseCache
from regproxy.web.responses import error_response
from regproxy.web.spans import TracedEntry, describe, received_trace

_ENDPOINTS = {
    endpoints.Root: "other",
    endpoints.Ping: "ping",
    endpoints.ManifestPull: "manifests",
    endpoints.BlobPull: "blobs",
    endpoints.HashPull: "hashes",
    endpoints.TagList: "tags",
    endpoints.ReferrerList: "referrers",
    endpoints.Catalog: "catalog",
}

_MOST_PARAMETERS = 16  # clients send three at most

# Nodes ask for the same few things again and again, and what is asked can be read but one way.
_read = lru_cache(4096)(endpoints.parse)

_log = logging.getLogger(__name__)


def observed(handlers: Handlers, cache: ResponseCache) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    """Make the handler of the registry port; what it answers and may be repeated, *cache* learns."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        context = RequestContext(trace=received_trace(request.headers))
        response: web.StreamResponse | None = None
        tracing.enter(context.trace)
        with tracing.span(request.method, tracing.SpanKind.SERVER) as span:
            tracing.enter(span.trace)
            try:
                response = await _answered(handlers, request, context)
                if not response.prepared:
                    context.decorate(response.headers)
                charge_buffered(request, response)
                return response
            finally:
                entry = AccessLogEntry(request, context, response)
                if not context.is_routine:
                    entry.tell([(context.request_id, request.remote or "", context.seconds)])
                if tracing.is_exporting():
                    describe(span, request, context, response)
                if (
                    isinstance(response, BufferedResponse)
                    and context.failure is None
                    and context.trace is None  # a trace is of one request: its bytes do not come again
                    and (key := cache_key_of(request)) is not None
                ):
                    again = TracedEntry(request, context, response) if tracing.is_exporting() else entry
                    cache.learn(key, request, response, again, context.is_permitted)

    return handle


async def _answered(handlers: Handlers, request: web.BaseRequest, context: RequestContext) -> web.StreamResponse:
    try:
        context.query = _query(request.raw_path.partition("?")[2])
        context.namespace = handlers.routes.known(context.query.get("ns", ()))  # also where the path turns out to be none
        if handlers.entrance.authenticator is not None and path_of(request) == TOKEN_PATH:
            context.endpoint = "token"
            return await issue(handlers.entrance, request, context)
        if handlers.members is not None and path_of(request).startswith(PREFIX):
            context.endpoint = "fleet"
            return await handlers.members.answer(request, context)
        endpoint = _read(request.method, path_of(request))
        context.endpoint = _ENDPOINTS[type(endpoint)]
        return await handlers.answer(request, endpoint, context)
    except RegistryError as error:
        return error_response(error)
    except UpstreamError as error:
        context.failure = str(error)
        return error_response(upstream_failure(error))
    except StoreError as error:
        context.failure = str(error)
        return error_response(errors.unavailable(f"the cache's own disk failed: {error}", retry_after=10))
    except ConnectionError:
        raise  # the client left
    except Exception:
        _log.exception("this is a bug", extra=fields(request_id=context.request_id))
        return error_response(RegistryError("UNKNOWN", 500, f"this is a bug of regproxy; its log has more under {context.request_id}"))


@lru_cache(256)
def _query(text: str) -> Mapping[str, Sequence[str]]:
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError as error:
        raise RegistryError("UNSUPPORTED", 400, "a query of that many parameters") from error
