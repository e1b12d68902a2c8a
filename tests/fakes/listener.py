"""A TCP listener whose connections end with it."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self


class Listener:
    """Counts connections and hands each to `serve`, in a task of its own."""

    def __init__(self, *, address: str = "127.0.0.1", port: int = 0) -> None:
        self.connections = 0
        self._address = address
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()

    @property
    def port(self) -> int:
        if not self._port:
            raise RuntimeError("a listener has a port only within `async with`")
        return self._port

    @property
    def host(self) -> str:
        return f"[{self._address}]:{self.port}" if ":" in self._address else f"{self._address}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    async def connected(self, times: int = 1) -> None:
        """Wait until that many connections have come in."""
        while self.connections < times:
            await self._news.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Listen, on the same port as before."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, self._address, self._port, backlog=4096)
            self._port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Refuse connections from now on, and end the open ones."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await self.drop()
        await asyncio.sleep(0)  # for the sockets to be closed

    async def drop(self) -> None:
        """End the open connections with FIN."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        news, self._news = self._news, asyncio.Event()
        news.set()
        task = asyncio.get_running_loop().create_task(self._run(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # FIN, without what nobody reads; nothing where it was closed. Here, since a task may be cancelled before it begins.
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError, EOFError):
            await self.serve(reader, writer)
        await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    """End a connection with FIN and see it go."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
