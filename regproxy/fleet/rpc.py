"""What a worker shares with the others of its machine, through their supervisor (port Fleet).

A worker is born with a socket to its supervisor: no path to guess, no password, and nobody else at the other end. Over it go JSON lines,
`[number, call, argument...]` to the supervisor and `[number, answer]` back; number 0 wants no answer. The socket of a worker that dies is
closed by the kernel, and that ends its locks. A supervisor that is silent makes a worker ask for itself, as if it were alone.
"""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from socket import socket
from typing import Any, Self

from regproxy.fleet.codec import (
    history_document,
    history_of,
    proof_document,
    proof_of,
    reference_document,
    reference_of,
    tag_document,
    tag_of,
    token_document,
    token_of,
)
from regproxy.fleet.key_value_rpc import SupervisedKeyValues, answered
from regproxy.fleet.memory import LONGEST_WAIT
from regproxy.fleet.waiting import is_done
from regproxy.oci.reference import Reference
from regproxy.policy.clients.proof import Proof
from regproxy.policy.credential import Secret
from regproxy.policy.freshness import TagAnswer
from regproxy.policy.tag_history import History
from regproxy.policy.upstream.tokens import Token
from regproxy.ports import Fleet, KeyValueStore

TIMEOUT = 1.0  # seconds for an answer; it takes a millisecond, and a tenth of a second where every core is taken
_LONGEST_LINE = 1024 * 1024  # bytes; tokens are limited to a fraction of that

_NO_ANSWER = 0


class SupervisorClient:
    """The supervisor as a worker sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Use `connected` instead."""
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._is_silent = False
        self.key_values: KeyValueStore = SupervisedKeyValues(self._asked)  # what this machine keeps for others
        self._listening = asyncio.create_task(self._listen(), name="supervisor's answers")

    @classmethod
    async def connected(cls, line: socket) -> Self:
        """Connect through the worker's end of the socket."""
        return cls(*await asyncio.open_unix_connection(sock=line, limit=_LONGEST_LINE))

    async def token(self, key: Secret) -> Token | None:
        return token_of(await self._ask(next(self._numbers), "token", key.value))

    def put_token(self, key: Secret, token: Token) -> None:
        self._tell("put_token", key.value, token_document(token))

    async def tag(self, reference: Reference) -> TagAnswer | None:
        return tag_of(await self._ask(next(self._numbers), "tag", reference_document(reference)))

    def put_tag(self, reference: Reference, record: TagAnswer) -> None:
        self._tell("put_tag", reference_document(reference), tag_document(record))

    async def history(self, reference: Reference) -> History:
        return history_of(await self._ask(next(self._numbers), "history", reference_document(reference)))

    def put_history(self, reference: Reference, history: History) -> None:
        self._tell("put_history", reference_document(reference), history_document(history))

    async def proof(self, key: str) -> Proof | None:
        return proof_of(await self._ask(next(self._numbers), "proof", key))

    async def put_proof(self, key: str, proof: Proof) -> None:
        await self._ask(next(self._numbers), "put_proof", key, proof_document(proof))

    def end_proofs(self) -> None:
        self._tell("end_proofs")

    async def end_count(self) -> int | None:
        """Return None: the supervisor looks, and tells all workers of its machine."""
        return None

    @asynccontextmanager
    async def lock(self, name: str) -> AsyncIterator[None]:
        """Hold a lock: the supervisor acknowledges the request at once, and grants it later."""
        number = next(self._numbers)
        try:
            if await self._ask(number, "lock", name):
                await self._ask(number, "wait", timeout=LONGEST_WAIT)
            yield
        finally:
            self._tell("end", number)

    def report(self, document: dict[str, Any]) -> None:
        """Send a heartbeat, with this worker's status."""
        self._tell("report", document)

    async def gone(self) -> None:
        """Wait until the supervisor is."""
        await asyncio.wait({self._listening})

    async def close(self) -> None:
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _asked(self, call: str, *arguments: object, within: float | None = None) -> Any:  # noqa: ANN401  JSON
        return await self._ask(next(self._numbers), call, *arguments, timeout=within or TIMEOUT)

    async def _ask(self, number: int, call: str, *arguments: object, timeout: float = TIMEOUT) -> Any:  # noqa: ANN401  JSON
        """Wait for an answer, but not while an earlier one is overdue; None where there is none."""
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self._send(number, call, *arguments)
        try:
            if self._is_silent or not await is_done(answer, timeout):
                self._is_silent = True
                return None
            return answer.result()
        finally:
            del self._answers[number]

    def _tell(self, call: str, *arguments: object) -> None:
        self._send(_NO_ANSWER, call, *arguments)

    def _send(self, *message: object) -> None:
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def _listen(self) -> None:
        with contextlib.suppress(OSError):
            async for line in self._reader:
                self._is_silent = False
                number, found = json.loads(line)
                if (answer := self._answers.get(number)) is not None and not answer.done():
                    answer.set_result(found)


class SupervisorServer:
    """A worker as its supervisor sees it: what it asks is answered out of a fleet, what it reports is handed on."""

    def __init__(self, fleet: Fleet, heard: Callable[[dict[str, Any]], None], key_values: KeyValueStore | None = None) -> None:
        """Answer a worker's calls from *fleet* and *key_values*; *heard* is called with each status report."""
        self._fleet = fleet
        self._key_values = key_values
        self._heard = heard
        self._locks: dict[int, _Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, line: socket) -> None:
        """Answer until the worker is gone; then its locks end."""
        reader, writer = await asyncio.open_unix_connection(sock=line, limit=_LONGEST_LINE)
        try:
            async for message in reader:
                self._take(writer, *json.loads(message))
        except (OSError, ValueError, TypeError):
            pass  # it died in the middle of a line, or is no longer itself
        finally:
            for lock in self._locks.values():
                lock.end()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            writer.close()

    def _take(self, writer: asyncio.StreamWriter, number: int, call: str, *arguments: Any) -> None:  # noqa: ANN401  JSON
        """Handle a message that needs no answer at once: a value that is put before a lock is released must be there after it."""
        match call, *arguments:
            case "report", document:
                self._heard(document)
            case "put_token", key, document if token := token_of(document):
                self._fleet.put_token(Secret(key), token)
            case "put_tag", name, document if record := tag_of(document):
                self._fleet.put_tag(reference_of(name), record)
            case "put_history", name, document:
                self._fleet.put_history(reference_of(name), history_of(document))
            case ("end_proofs",):
                self._fleet.end_proofs()
            case "end", lock if lock in self._locks:
                self._locks.pop(lock).end()
            case "lock", name:
                self._locks[number] = _Lock(self._fleet, name)
                _say(writer, number, found=True)
            case _ if number:
                task = asyncio.create_task(self._answer(writer, number, call, *arguments), name=f"worker's {call}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _answer(self, writer: asyncio.StreamWriter, number: int, call: str, *arguments: Any) -> None:  # noqa: ANN401  JSON
        found: object = None
        match call, *arguments:
            case "proof", key:
                found = proof_document(proof) if (proof := await self._fleet.proof(key)) else None
            case "put_proof", key, document if proof := proof_of(document):
                await self._fleet.put_proof(key, proof)
            case "token", key:
                found = token_document(token) if (token := await self._fleet.token(Secret(key))) else None
            case "tag", name:
                found = tag_document(record) if (record := await self._fleet.tag(reference_of(name))) else None
            case "history", name:
                found = history_document(await self._fleet.history(reference_of(name)))
            case ["wait"] if number in self._locks:
                await self._locks[number].has_come.wait()
            case _ if self._key_values is not None:
                found = await answered(self._key_values, call, arguments)
        _say(writer, number, found)


class _Lock:
    """A worker's lock, or its place in the queue for it."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        self.has_come = asyncio.Event()
        self._task = asyncio.create_task(self._hold(fleet, name), name=f"lock {name}")

    def end(self) -> None:
        self._task.cancel()

    async def _hold(self, fleet: Fleet, name: str) -> None:
        async with fleet.lock(name):
            self.has_come.set()
            await asyncio.get_running_loop().create_future()


def _say(writer: asyncio.StreamWriter, number: int, found: object) -> None:
    if not writer.is_closing():
        writer.write(json.dumps([number, found]).encode() + b"\n")
