"""One function per endpoint: call the use case, build the response."""

import json
from dataclasses import dataclass, field
from functools import partial
from typing import assert_never
from urllib.parse import urlencode

from aiohttp import web
from multidict import CIMultiDict

from regproxy.behind.redirects import Elsewhere
from regproxy.chain import chain
from regproxy.client import client
from regproxy.clients.questions import Pull
from regproxy.oci import errors
from regproxy.oci.digest import Digest
from regproxy.oci.doctor_image import DoctorImage, make_image
from regproxy.oci.endpoint import BlobPull, Catalog, Endpoint, HashPull, ManifestPull, Ping, ReferrerList, Root, TagList
from regproxy.oci.errors import RegistryError
from regproxy.oci.http.cache_status import CacheStatus
from regproxy.oci.manifest import OCI_INDEX
from regproxy.oci.reference import Reference
from regproxy.policy.clients.identity import AccessMode
from regproxy.policy.clients.sharing import client_key
from regproxy.policy.routing import Route, Routes
from regproxy.ports import Answer, UpstreamError
from regproxy.pull.blobs import Blobs
from regproxy.pull.listings import Listings, TagQuery
from regproxy.pull.manifest_cache import Pulled
from regproxy.pull.manifests import Manifests
from regproxy.pull.passing import Passing
from regproxy.web.bodies import LARGE, BodyBudget, BodyResponse, Reservation
from regproxy.web.buffered import BufferedResponse, own_location, redirection
from regproxy.web.clients.entrance import Entrance
from regproxy.web.context import RequestContext
from regproxy.web.failures import upstream_failure
from regproxy.web.fleet.hashes import Hashes
from regproxy.web.fleet.pieces import Members
from regproxy.web.not_found_limiter import NotFoundLimiter
from regproxy.web.parameters import byte_ranges, cursor, hops_of, host_of, may_redirect, name_of, page_size, path_of, wanted_parts, warning
from regproxy.web.responses import ContentResponse, PassedResponse, at_hand, blob_headers, content_headers, matches, send_buffered

_FROM_UPSTREAM = frozenset({CacheStatus.MISS, CacheStatus.REVALIDATED, CacheStatus.STALE})  # what upstream said of its pulls is news there
_CATALOG_PAGE = 1000  # repositories, where a client does not say how many


@dataclass(frozen=True, slots=True)
class Handlers:
    """The endpoints of the registry port."""

    routes: Routes
    manifests: Manifests
    blobs: Blobs
    listings: Listings
    not_found_limiter: NotFoundLimiter
    name: str  # among caches
    hashes: Hashes
    has_catalog: bool = False
    bodies: BodyBudget = field(default_factory=BodyBudget)
    cluster: str = ""  # whose cache it is, as it tells whoever asks
    entrance: Entrance = field(default_factory=Entrance)  # who may use it
    members: Members | None = None  # what the other members of the fleet are answered

    async def answer(self, request: web.BaseRequest, endpoint: Endpoint, context: RequestContext) -> web.StreamResponse:
        """Answer what was asked; raise `RegistryError`, `UpstreamError` or `StoreError`."""
        if isinstance(endpoint, Root):
            about = {"name": "regproxy", "about": "a pull-through cache for container registries", "api": "/v2/"}
            return web.json_response(about | ({"cluster": self.cluster} if self.cluster else {}))
        if isinstance(endpoint, Ping):
            await self.entrance.ping(request, context)
            return web.Response(body=b"{}", content_type="application/json")
        if isinstance(endpoint, Catalog):
            return await self._catalog(request, context)
        admission = await self.entrance.admit(request, context, endpoint.name)
        namespaces = context.query.get("ns", ())
        route = self.routes.find(endpoint.name, namespaces, host_of(request))
        context.upstream = route.upstream.name
        context.namespace = next(iter(namespaces), route.upstream.name)
        self.entrance.check(admission, route)
        if (image := make_image(route.repository.name)) is not None:
            return _of_doctor(image, endpoint, context)
        chain.set((*hops_of(request, self.name), self.name))
        asker = client_key(request.remote or "")
        client.set(asker)
        await self.entrance.prove(request, admission, route, endpoint, context)
        found = partial(self._found, request, route, endpoint, context)
        if await self._is_here(route, endpoint):
            return await self.entrance.served(context, found)
        name = name_of(route, endpoint)
        if (known := self.not_found_limiter.answer(name)) is not None:
            raise known.detached()
        asked = self.not_found_limiter.ask(asker, name)
        if isinstance(asked, RegistryError):
            raise asked.detached()
        context.reservation = asked
        # `missing_for` is for tags; whoever has pushed wants to see it in the list.
        is_by_digest = isinstance(endpoint, BlobPull) or (isinstance(endpoint, ManifestPull) and isinstance(endpoint.target, Digest))
        is_lasting = is_by_digest and route.upstream.access is not AccessMode.PROVEN
        try:
            return await self.entrance.served(context, found)
        except RegistryError as error:
            asked.end(missing=error.status == 404, answer=error if is_lasting else None)
            raise
        except Answer as error:
            asked.end(missing=True, answer=upstream_failure(error) if is_lasting else None)
            raise
        except UpstreamError:
            asked.end()
            raise
        finally:
            asked.leave()

    async def _found(self, request: web.BaseRequest, route: Route, endpoint: Pull, context: RequestContext) -> web.StreamResponse:
        match endpoint:
            case ManifestPull():
                return await self._manifest(request, route, endpoint, context)
            case HashPull():
                return await self.hashes.answer(request, route, endpoint, context)
            case BlobPull():
                return await self._blob(request, route, endpoint, context)
            case TagList():
                async with self.bodies.asked(route.upstream.name):
                    sending = await self._tags(request, route, endpoint, context)
                return await self._sent(request, sending, context)
            case ReferrerList():
                async with self.bodies.asked(route.upstream.name):
                    sending = await self._referrers(route, endpoint, context)
                return await self._sent(request, sending, context)
            case _ as never:
                assert_never(never)

    async def _is_here(self, route: Route, endpoint: Pull) -> bool:
        """Report whether it can be answered without asking upstream for what it may not have."""
        match endpoint:
            case ManifestPull(target=Digest() as digest):
                return await self.manifests.holds(route.repository, digest)
            case ManifestPull(target=tag):
                return await self.manifests.known(Reference(route.repository, tag)) is not None
            case BlobPull():
                return await self.blobs.holds(route.repository, endpoint.digest)
            case _:
                return False

    async def _manifest(self, request: web.BaseRequest, route: Route, pull: ManifestPull, context: RequestContext) -> web.StreamResponse:
        pulled = await self.manifests.get(route, pull.target)
        await self.entrance.recheck(context)
        context.found(pulled.cache_status)
        descriptor = pulled.manifest.descriptor
        if descriptor.size > LARGE and request.method != "HEAD" and not matches(request.headers.get("If-None-Match"), descriptor.digest):
            if self.bodies.may_hold(descriptor.digest, descriptor.size):
                return await self._large_manifest(request, route, pulled, context)
            del pulled  # nothing of it is in memory while it waits
            async with self.bodies.reserved(descriptor.size) as room:
                return await self._large_manifest(request, route, await self.manifests.get(route, pull.target), context, room)
        is_current = partial(self.manifests.is_current, Reference(route.repository, pull.target), pulled)
        count_uses = partial(self.manifests.count_uses, descriptor.digest)
        if matches(request.headers.get("If-None-Match"), descriptor.digest):
            response = BufferedResponse(304, content_headers(descriptor.digest, pulled.cache_status), b"", is_current, count_uses)
        else:
            headers = content_headers(descriptor.digest, pulled.cache_status, descriptor.media_type)
            response = BufferedResponse(200, headers, pulled.manifest.body, is_current, count_uses)
        self._note(response, route, pulled)
        return response

    def _note(self, response: web.StreamResponse, route: Route, pulled: Pulled) -> None:
        """Return what the client should be warned of, and how many pulls upstream leaves us."""
        if pulled.warning is not None:
            response.headers["Warning"] = warning(pulled.warning)
        if pulled.cache_status in _FROM_UPSTREAM and (quota := self.manifests.quota(route)) is not None:
            response.headers.update(quota.headers())

    async def _large_manifest(
        self, request: web.BaseRequest, route: Route, pulled: Pulled, context: RequestContext, room: Reservation | None = None
    ) -> web.StreamResponse:
        await self.entrance.recheck(context)
        descriptor = pulled.manifest.descriptor
        headers = content_headers(descriptor.digest, pulled.cache_status, descriptor.media_type)
        response = BodyResponse(headers, descriptor.size)
        self._note(response, route, pulled)
        return await self._send_large(request, response, descriptor.digest, pulled.manifest.body, context, room)

    async def _sent(self, request: web.BaseRequest, response: web.Response, context: RequestContext) -> web.StreamResponse:
        """Send a response that is large by pieces, and leave any other to be sent."""
        body = response.body
        if not isinstance(body, bytes) or len(body) <= LARGE or request.method == "HEAD":
            return response
        sending = BodyResponse(response.headers, len(body))
        del response  # the body that is sent may be another, of the same bytes
        return await self._send_large(request, sending, Digest.of(body), body, context)

    async def _send_large(
        self,
        request: web.BaseRequest,
        response: BodyResponse,
        digest: Digest,
        body: bytes,
        context: RequestContext,
        room: Reservation | None = None,
    ) -> web.StreamResponse:
        with self.bodies.held(digest, body, room) as held:
            context.decorate(response.headers)
            await response.send(request, held, context.endpoint, context.outcome(response.status))
        return response

    async def _blob(self, request: web.BaseRequest, route: Route, pull: BlobPull, context: RequestContext) -> web.StreamResponse:
        if request.method == "HEAD":
            described = await self.blobs.describe(route, pull.digest)
            await self.entrance.recheck(context)
            context.found(described.cache_status)
            response = web.StreamResponse(headers=blob_headers(pull.digest, described.cache_status))
            response.content_length = described.size
            return response
        opened = await self.blobs.open(route, pull.digest, wanted_parts(request, pull.digest), may_redirect=may_redirect(request))
        context.found(CacheStatus.HIT if isinstance(opened, Elsewhere) else opened.cache_status)
        if isinstance(opened, Elsewhere):
            await self.entrance.recheck(context)
            return redirection(pull.digest, opened.url)
        context.location = own_location(request)
        if isinstance(opened, Passing):
            return await self._pass(request, pull, opened, context)
        try:
            await self.entrance.recheck(context)
            headers = blob_headers(pull.digest, opened.cache_status)
            if matches(request.headers.get("If-None-Match"), pull.digest):
                return web.Response(status=304, headers=headers)
            ranges = await byte_ranges(request, pull.digest, opened.content.size)
            if opened.is_current is not None and not ranges and (body := await at_hand(request, opened.content)) is not None:
                ready = BufferedResponse(200, headers, body, opened.is_current)
                context.decorate(ready.headers)
                context.failure = await send_buffered(request, ready, opened.content)
                return ready
            sending = ContentResponse(opened.content, ranges, headers)
            context.decorate(sending.headers)
            context.failure = await sending.send(request, context.endpoint, opened.cache_status.value)
            return sending
        finally:
            opened.content.release()

    async def _pass(self, request: web.BaseRequest, pull: BlobPull, passing: Passing, context: RequestContext) -> web.StreamResponse:
        try:
            await self.entrance.recheck(context)
            sending = PassedResponse(passing.parts, blob_headers(pull.digest, passing.cache_status))
            context.decorate(sending.headers)
            context.failure = await sending.send(request, passing.runs, context.endpoint, passing.cache_status.value)
            return sending
        finally:
            await passing.close()

    async def _tags(self, request: web.BaseRequest, route: Route, asked: TagList, context: RequestContext) -> web.Response:
        query = TagQuery(page_size(context.parameter("n")), context.parameter("last") or "", cursor(context.parameter("cursor")))
        listed = await self.listings.tags(route, query)
        await self.entrance.recheck(context)
        context.found(listed.cache_status)
        headers = CIMultiDict({"Cache-Status": listed.cache_status.header()})
        if listed.cursor is not None:
            namespace = context.parameter("ns")
            following = {"n": str(query.most)} if query.most is not None else {}
            following |= {"last": listed.cursor.after, "cursor": listed.cursor.encode()} | ({"ns": namespace} if namespace else {})
            headers["Link"] = f'<{path_of(request)}?{urlencode(following)}>; rel="next"'
        if listed.warning is not None:
            headers["Warning"] = warning(listed.warning)
        body = json.dumps({"name": asked.name, "tags": listed.tags}).encode()
        return web.Response(body=body, content_type="application/json", headers=headers)

    async def _catalog(self, request: web.BaseRequest, context: RequestContext) -> web.StreamResponse:
        """List the cached repositories of one registry, where that is allowed: names reveal what is run, private ones above all."""
        if not self.has_catalog:
            raise errors.endpoint_unsupported("the catalog is off: `catalog: true` in the configuration lists what is cached")
        is_listed = await self.entrance.listed(request, context)
        namespaces = context.query.get("ns", ())
        upstream = self.routes.upstream(namespaces, host_of(request))
        context.upstream, context.namespace = upstream.name, next(iter(namespaces), upstream.name)
        most = page_size(context.parameter("n"))
        last, at_most = context.parameter("last") or "", _CATALOG_PAGE if most is None else most
        names, has_more = await self.listings.catalog(upstream, last, at_most, is_listed)
        context.cache_status = CacheStatus.HIT
        headers = CIMultiDict({"Cache-Status": CacheStatus.HIT.header()})
        if has_more and names:
            following = ({"n": str(most)} if most is not None else {}) | {"last": names[-1]} | ({"ns": namespaces[0]} if namespaces else {})
            headers["Link"] = f'<{path_of(request)}?{urlencode(following)}>; rel="next"'
        return web.Response(body=json.dumps({"repositories": names}).encode(), content_type="application/json", headers=headers)

    async def _referrers(self, route: Route, asked: ReferrerList, context: RequestContext) -> web.Response:
        wanted = context.parameter("artifactType")
        listed = await self.listings.referrers(route, asked.digest, wanted)
        await self.entrance.recheck(context)
        context.found(listed.cache_status)
        headers = CIMultiDict({"Cache-Status": listed.cache_status.header(), "Content-Type": OCI_INDEX})
        if wanted:
            headers["OCI-Filters-Applied"] = "artifactType"
        return web.Response(body=listed.body, headers=headers)


def _of_doctor(image: DoctorImage, endpoint: Endpoint, context: RequestContext) -> web.StreamResponse:
    if (found := image.find(endpoint)) is None:
        raise errors.manifest_unknown("the image by which `regproxy doctor` proves a pull has one tag, and no more")
    context.found(CacheStatus.HIT)
    return BufferedResponse(200, content_headers(found.digest, CacheStatus.HIT, found.media_type), found.body)
