"""An S3 server on loopback, as far as an object store behind a cache needs it, and how it can be made to misbehave.

Nobody is let in or kept out. What is written is there whole or not at all, as S3 promises.

async with FakeBucket() as bucket:
    bucket.refuse = True          # 503 for everything
    bucket.objects["regproxy/blobs/sha256/..."] = b"wrong"
"""

import asyncio
import hashlib
import time
from collections import Counter
from typing import Self
from xml.sax.saxutils import escape

from aiohttp import web

from tests.free_port import free_port

_FORMAT = "%Y-%m-%dT%H:%M:%S.000Z"


class FakeBucket:
    """One bucket, `bucket`."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.written_at: dict[str, float] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.refuse = False
        self.refuse_part: str | None = None  # what has this in its path is refused
        self.is_full = False  # nothing is taken
        self.latency = 0.0  # seconds before each answer
        self.hold_from: int | None = None  # this write and those after it wait until `release`
        self.cut_after: int | None = None  # bytes of a body that is read, after which the connection ends
        self.pace: float | None = None  # seconds between two of ten parts of a body that is read
        self.sent_bytes = 0
        self._writes = 0
        self._holding = 0
        self._released = asyncio.Event()
        self.has_conditions = True
        self.counts: Counter[str] = Counter()
        self.changed = asyncio.Condition()
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._runner: web.AppRunner | None = None

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/bucket{key:.*}", self._answer)
        return app

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        self._runner = web.AppRunner(self._app(), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def stop(self) -> None:
        """Let nobody connect."""
        self.release()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def release(self) -> None:
        """Let go on what waits."""
        self.hold_from = None
        self._released.set()

    def keys(self, part: str) -> list[str]:
        """List the paths that have *part* in them."""
        return sorted(key for key in self.objects if part in key)

    async def until(self, part: str, count: int) -> None:
        """Wait until so many paths have *part* in them."""
        async with asyncio.timeout(300), self.changed:
            await self.changed.wait_for(lambda: len(self.keys(part)) >= count)

    async def until_without(self, part: str) -> None:
        """Wait until no path has *part* in it."""
        async with asyncio.timeout(300), self.changed:
            await self.changed.wait_for(lambda: not self.keys(part))

    async def until_equal(self, key: str, body: bytes) -> None:
        """Wait until *key* has this very content."""
        async with asyncio.timeout(300), self.changed:
            await self.changed.wait_for(lambda: self.objects.get(key) == body)

    async def until_in(self, key: str, part: bytes) -> None:
        """Wait until what lies at *key* has *part* in it."""
        async with asyncio.timeout(300), self.changed:
            await self.changed.wait_for(lambda: part in self.objects.get(f"regproxy/{key}", b""))

    async def until_holding(self) -> None:
        """Wait until a write waits."""
        async with asyncio.timeout(300), self.changed:
            await self.changed.wait_for(lambda: self._holding > 0)

    def write(self, key: str, body: bytes, at: float | None = None) -> None:
        self.objects[key] = body
        self.written_at[key] = time.time() if at is None else at

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"].lstrip("/")
        self.counts[f"{request.method} {key.split('/')[1] if '/' in key else key}"] += 1
        if self.latency:
            await asyncio.sleep(self.latency)
        if self.refuse or (self.refuse_part is not None and self.refuse_part in key):
            return web.Response(status=503, text="<Error><Code>SlowDown</Code></Error>")
        try:
            return await self._done(request, key)
        finally:
            async with self.changed:
                self.changed.notify_all()

    async def _done(self, request: web.Request, key: str) -> web.StreamResponse:
        if request.method in {"PUT", "POST"} and "delete" not in request.query:
            body = await request.read()
            if self.is_full:
                return web.Response(status=507, text="<Error><Code>InsufficientStorage</Code></Error>")
            self._writes += 1
            if self.hold_from is not None and self._writes >= self.hold_from:
                self._holding += 1
                async with self.changed:
                    self.changed.notify_all()
                await self._released.wait()
                return web.Response(status=503)  # whoever asked is gone
            return self._put(request, key, body)
        if request.method == "GET" and "list-type" in request.query:
            return self._listed(request)
        if request.method == "DELETE":
            self.objects.pop(key, None)
            self.uploads.pop(request.query.get("uploadId", ""), None)
            return web.Response(status=204)
        if request.method == "POST":
            gone = [part.partition("</Key>")[0] for part in (await request.text()).split("<Key>")[1:]]
            for each in gone:
                self.objects.pop(each, None)
            return _xml(f"<DeleteResult>{''.join(f'<Deleted><Key>{each}</Key></Deleted>' for each in gone)}</DeleteResult>")
        return await self._sent(request, self._read(request, key))

    async def _sent(self, request: web.Request, reply: web.Response) -> web.StreamResponse:
        body = bytes(reply.body) if isinstance(reply.body, bytes) else b""
        self.sent_bytes += len(body) if request.method == "GET" else 0
        if self.pace is not None and len(body) > 1000:
            return await self._paced(request, reply, body, self.pace)
        if self.cut_after is None or len(body) <= self.cut_after:
            return reply
        cut = web.StreamResponse(status=reply.status, headers=reply.headers)
        cut.content_length = len(body)
        await cut.prepare(request)
        await cut.write(body[: self.cut_after])
        assert request.transport is not None
        request.transport.close()
        return cut

    def _put(self, request: web.Request, key: str, body: bytes) -> web.Response:
        query = request.query
        if "uploads" in query:
            name = f"upload-{len(self.uploads)}-{time.time_ns()}"
            self.uploads[name] = {}
            return _xml(f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>")
        if "partNumber" in query:
            self.uploads[query["uploadId"]][int(query["partNumber"])] = body
        elif "uploadId" in query:
            parts = self.uploads.pop(query["uploadId"])
            self.write(key, b"".join(parts[number] for number in sorted(parts)))
            return _xml(f"<CompleteMultipartUploadResult><ETag>{_etag(self.objects[key])}</ETag></CompleteMultipartUploadResult>")
        elif self.has_conditions and request.headers.get("If-None-Match") == "*" and key in self.objects:
            return web.Response(status=412, text="<Error><Code>PreconditionFailed</Code></Error>")
        else:
            self.write(key, body)
        return web.Response(headers={"ETag": _etag(body)})

    def _read(self, request: web.Request, key: str) -> web.Response:
        body = self.objects.get(key)
        if body is None:
            return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>")
        modified = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(self.written_at.get(key, 0.0)))
        headers = {"ETag": _etag(body), "Last-Modified": modified, "Accept-Ranges": "bytes"}
        asked = request.http_range
        if "Range" not in request.headers:
            return web.Response(body=body, headers=headers)
        start, stop = asked.start or 0, min(asked.stop or len(body), len(body))
        if start >= len(body):
            return web.Response(status=416)
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
        return web.Response(status=206, body=body[start:stop], headers=headers)

    async def _paced(self, request: web.Request, reply: web.Response, body: bytes, pace: float) -> web.StreamResponse:
        paced = web.StreamResponse(status=reply.status, headers=reply.headers)
        paced.content_length = len(body)
        await paced.prepare(request)
        part = -(-len(body) // 10)
        for start in range(0, len(body), part):
            await asyncio.sleep(pace)
            await paced.write(body[start : start + part])
        return paced

    def _date(self, key: str) -> str:
        return time.strftime(_FORMAT, time.gmtime(self.written_at.get(key, 0.0)))

    def _listed(self, request: web.Request) -> web.Response:
        prefix = request.query.get("prefix", "")
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{self._date(key)}</LastModified>"
            f"<ETag>{_etag(body)}</ETag><Size>{len(body)}</Size></Contents>"
            for key, body in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        return _xml(f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>")


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def _xml(text: str) -> web.Response:
    return web.Response(text=f'<?xml version="1.0" encoding="UTF-8"?>{text}', content_type="application/xml")
