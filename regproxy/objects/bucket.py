"""A bucket of S3, Google Cloud Storage or Azure, or of whatever speaks their API (port ObjectStore).

Credentials are found the way each cloud does it: environment, files, metadata services. A request is not repeated here where a client may
wait for it; an upload is.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import AzureStore, GCSStore, S3Store, from_url
from obstore.store import ObjectStore as Remote

from regproxy.ports import Gone, StoredObject, StoreError, TooLong

if TYPE_CHECKING:  # the library's own types, which are not there at run time
    from obstore.store import ClientConfig

_CONNECT_TIMEOUT = timedelta(seconds=5)
_SILENCE = timedelta(seconds=30)
_UPLOADS = 4  # times as long: it counts from the beginning of a request, and a part of an upload goes out within it
_ENDLESS = timedelta(days=1)
_PART = 8 * 1024 * 1024  # bytes of a multipart upload's parts; 10,000 of them are 80 GB
_MAX_PARTS_IN_FLIGHT = 2  # of one upload
_CHUNK = 128 * 1024  # bytes: who waits for a larger one takes a store that is slow for one that is silent
_PAGE = 1000
_MAX_LISTED = 20_000_000  # objects: a list that does not end is none
_QUERY = re.compile(r"\?\S+")
_STATUS = re.compile(r"status code: (\d{3}[ \w]{0,40})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_MAX_REASON = 300  # characters of what the library says: the rest is how it is built inside


class Bucket:
    """Objects below one prefix of one bucket."""

    def __init__(self, remote: Remote, patient: Remote, place: str) -> None:
        """Ask *remote* once for each call, and *patient*, which repeats requests, for uploads; *place* is for people."""
        self._remote = remote
        self._patient = patient
        self._place = place

    @property
    def place(self) -> str:
        return self._place

    async def get(self, path: str, most: int) -> bytes | None:
        with _translated("read", path):
            try:
                found = await obstore.get_async(self._remote, path)
            except FileNotFoundError:
                return None
            body = bytearray()
            if found.meta["size"] <= most:
                async for chunk in found.stream(_CHUNK):  # what comes may be more than was promised
                    body += chunk
                    if len(body) > most:
                        break
                else:
                    return bytes(body)
            raise TooLong(f"{path} has {max(found.meta['size'], len(body))} bytes or more: more than one of its kind has")

    @asynccontextmanager
    async def stream(self, path: str, start: int, stop: int) -> AsyncIterator[AsyncIterator[bytes]]:
        with _translated("read", path):
            try:
                found = await obstore.get_async(self._remote, path, options={"range": (start, stop)})
            except FileNotFoundError as error:
                raise Gone(f"{path} is not in the object store") from error
            if tuple(found.range) != (start, stop):
                raise Gone(f"{path} is shorter in the object store than it was")
        yield _chunks(path, found.stream(_CHUNK))

    async def put(self, path: str, body: bytes) -> None:
        with _translated("write", path):
            await obstore.put_async(self._patient, path, body, use_multipart=False)

    async def create(self, path: str, body: bytes) -> bool:
        with _translated("write", path):
            try:
                await obstore.put_async(self._remote, path, body, mode="create")
            except AlreadyExistsError:
                return False
            return True

    async def upload(self, path: str, chunks: AsyncIterator[bytes]) -> None:
        first = bytearray()
        async for chunk in chunks:
            first += chunk
            if len(first) >= _PART:
                break
        else:
            await self.put(path, bytes(first))
            return
        with _translated("write", path):
            whole = _joined(bytes(first), chunks)
            await obstore.put_async(self._patient, path, whole, chunk_size=_PART, max_concurrency=_MAX_PARTS_IN_FLIGHT)

    async def head(self, path: str) -> StoredObject | None:
        with _translated("look up", path):
            try:
                found = await obstore.head_async(self._remote, path)
            except FileNotFoundError:
                return None
            return StoredObject(found["path"], found["size"], found["last_modified"].timestamp())

    async def delete(self, path: str) -> None:
        with _translated("delete", path):
            try:
                await obstore.delete_async(self._remote, path)
            except FileNotFoundError:
                return

    async def list(self, prefix: str) -> AsyncIterator[Sequence[StoredObject]]:
        count = 0
        with _translated("list", prefix):
            async for page in obstore.list(self._patient, prefix, chunk_size=_PAGE):
                if (count := count + len(page)) > _MAX_LISTED:
                    raise StoreError(f"more than {_MAX_LISTED} objects below {prefix}")
                yield [StoredObject(each["path"], each["size"], each["last_modified"].timestamp()) for each in page]

    async def sign(self, path: str, seconds: float) -> str:
        if not isinstance(self._remote, S3Store | GCSStore | AzureStore):
            raise StoreError(f"{self._place} signs no URLs")
        with _translated("sign", path):
            return await obstore.sign_async(self._remote, "GET", path, timedelta(seconds=seconds))


def opened(url: str, endpoint: str | None = None, silence: timedelta = _SILENCE) -> Bucket:
    """Open the bucket at *url* (`s3://`, `gs://`, `az://`), by way of *endpoint* where it is not the provider's; raise `StoreError`.

    A server may be silent for *silence*.
    """
    client: ClientConfig = {
        "connect_timeout": _CONNECT_TIMEOUT,
        "timeout": _ENDLESS,  # a large blob takes as long as it takes
        "allow_http": bool(endpoint and endpoint.startswith("http:")),
    }
    brief: ClientConfig = {**client, "read_timeout": silence}
    long: ClientConfig = {**client, "read_timeout": _UPLOADS * silence}
    config = {"endpoint": endpoint} if endpoint else {}
    try:
        once, repeated = (
            from_url(url, config=config, client_options=options, retry_config={"max_retries": retries, "retry_timeout": 2 * silence})  # type: ignore[call-overload]
            for retries, options in ((0, brief), (3, long))
        )
    except (BaseError, ValueError, OSError) as error:
        raise StoreError(f"the object store {url} cannot be used: {_reason(error)}") from error
    return Bucket(once, repeated, url)


async def _chunks(path: str, stream: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    with _translated("read", path):
        async for chunk in stream:
            yield bytes(chunk)


async def _joined(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in others:
        yield chunk


@contextmanager
def _translated(act: str, path: str) -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        raise StoreError(f"the object store could not {act} {path}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """Return what went wrong in one line, without queries of URLs, which may be signed, and the library's account of its own insides.

    What the server called it comes first, for the library says it last.
    """
    text = str(error)
    called = [found[1] for each in (_STATUS, _CODE) if (found := each.search(text)) is not None]
    first = _QUERY.sub("?...", text.partition("\n")[0])[:_MAX_REASON]
    return ": ".join([*called, first or type(error).__name__])
