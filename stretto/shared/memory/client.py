"""MemoryClient: the memory of one tenant, over the bus."""

import asyncio
import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import Final

from nats.aio.msg import Msg
from pydantic import ValidationError

from stretto.bus.connection import Connection
from stretto.bus.envelope import Body, Envelope, describe, open_envelope
from stretto.bus.errors import BusError, Misconfigured, Refused, Unreachable
from stretto.bus.message import Message
from stretto.bus.subjects import Subjects
from stretto.bus.tracing import headers_of
from stretto.bus.wire import Wire
from stretto.bus.work import current_work
from stretto.shared.contracts.memory import (
    AddRecords,
    AroundRecord,
    EmbedTexts,
    ForgetRecords,
    GetRecords,
    Hits,
    MemoryDone,
    MemoryFailure,
    MemoryStats,
    Record,
    Records,
    SearchMemory,
    Sources,
    SourceState,
    StatMemory,
    Vectors,
)
from stretto.shared.memory.errors import (
    EmbedderUnusable,
    MemoryFailed,
    MemoryRefused,
    MemoryUnavailable,
    StoreUnusable,
)
from stretto.shared.telemetry.memory_call import memory_call, tell_reply

__all__ = ["NO_RUN", "MemoryClient"]

NO_RUN: Final = "none"
"""The run of calls that belong to none."""

_BATCH_RECORDS = 128
_BATCH_CHARS = 150_000
_TEXTS = 256
_ASK_AGAIN_S = 0.25
_ERRORS: Final[dict[str, type[MemoryFailed]]] = {
    one.__name__: one for one in (MemoryUnavailable, MemoryRefused, StoreUnusable, EmbedderUnusable)
}


class MemoryClient:
    """A `Memory` that asks the memory service.

    Raises:
        MemoryUnavailable: by every method, when the service does not answer within `timeout_s`, or nobody serves it for `patience_s`.
        MemoryFailed: and what is below it, as the service says.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        subjects: Subjects,
        wire: Wire,
        tenant: str,
        sender: str,
        timeout_s: float = 60.0,
        patience_s: float = 0.0,
    ) -> None:
        self._connection = connection
        self._subjects = subjects
        self._wire = wire
        self._tenant = tenant
        self._sender = sender
        self._timeout_s = timeout_s
        self._patience_s = patience_s

    async def add(self, records: Sequence[Record]) -> int:
        """Store the records whole, in the order given and in batches; return how many."""
        count = 0
        for batch in _batches(records):
            count += (await self._call("add", AddRecords(records=batch), MemoryDone)).count
        return count

    async def search(self, query: str, *, scope: Sequence[str] = (), limit: int = 8) -> Hits:
        """The records nearest to `query`, best first; only from the roots in `scope`, if any."""
        if not query.strip():
            raise MemoryRefused("the query is empty: say what to look for")
        try:
            search = SearchMemory(query=query, scope=tuple(scope), limit=limit)
        except ValidationError as error:
            raise MemoryRefused(f"that cannot be searched for: {describe(error)}") from error
        return await self._call("search", search, Hits)

    async def get(self, ids: Sequence[str]) -> tuple[Record, ...]:
        """Those of these records that exist, in the order asked."""
        return (await self._call("get", GetRecords(ids=tuple(ids)), Records)).records

    async def around(self, id_: str, *, reach: int = 1) -> tuple[Record, ...]:
        """The passages next to a record in its document, `reach` on either side, in the document's order; none where it is gone."""
        try:
            call = AroundRecord(id=id_, reach=reach)
        except ValidationError as error:
            raise MemoryRefused(f"that cannot be read: {describe(error)}") from error
        return (await self._call("around", call, Records)).records

    async def forget(
        self, *, root: str | None = None, sources: Sequence[str] = (), everything: bool = False, keep_hash: str = ""
    ) -> int:
        """Drop a root, some sources of it, or everything of the tenant; return how many records went."""
        call = ForgetRecords(root=root, sources=tuple(sources), everything=everything, keep_hash=keep_hash)
        return (await self._call("forget", call, MemoryDone)).count

    async def sources(self, *, root: str | None = None) -> tuple[SourceState, ...]:
        """What is stored, document by document."""
        found: list[SourceState] = []
        while True:
            page = await self._call("sources", StatMemory(root=root, offset=len(found)), Sources)
            found.extend(page.sources)
            if not page.more or not page.sources:
                return tuple(found)

    async def stats(self) -> MemoryStats:
        """Counts."""
        return await self._call("stats", StatMemory(), MemoryStats)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The unit vectors of these texts."""
        rows: list[list[float]] = []
        for start in range(0, len(texts), _TEXTS):
            rows.extend(
                _rows(await self._call("embed", EmbedTexts(texts=tuple(texts[start : start + _TEXTS])), Vectors))
            )
        return rows

    async def _call(self, verb: str, call: Message, reply_type: type[Body]) -> Body:
        with memory_call(verb, call, tenant=self._tenant) as span:
            reply = await self._reply(verb, call, reply_type)
            tell_reply(span, reply)
        return reply

    async def _reply(self, verb: str, call: Message, reply_type: type[Body]) -> Body:
        work = current_work()
        envelope = Envelope.of(call, tenant=self._tenant, run=work.run if work else NO_RUN, sender=self._sender)
        subject = self._subjects.memory(self._tenant, verb)
        try:
            msg = await self._ask(subject, await self._wire.pack(envelope))
            reply = await self._wire.unpack(msg.data, msg.headers)
            if reply.type == MemoryFailure.TYPE:
                failure = open_envelope(reply, MemoryFailure)
                raise _ERRORS.get(failure.error, MemoryFailed)(failure.message)
            return open_envelope(reply, reply_type)
        except (Refused, Misconfigured) as error:
            raise MemoryRefused(f"the memory call was refused: {error}") from error
        except BusError as error:
            raise MemoryUnavailable(
                f"the memory service does not answer ({error}): is `stretto memory run` up?"
            ) from error

    async def _ask(self, subject: str, payload: bytes) -> Msg:
        """Ask; while nobody serves, ask again: a service that is restarted is back in a few seconds."""
        give_up_at = asyncio.get_running_loop().time() + self._patience_s
        while True:
            try:
                # Every call may be done twice: a server that died in between took the reply with it.
                return await self._connection.request(
                    subject, payload, headers=headers_of() or None, timeout_s=self._timeout_s, resend=True
                )
            except Unreachable:
                if asyncio.get_running_loop().time() >= give_up_at:
                    raise
                await asyncio.sleep(_ASK_AGAIN_S)


def _batches(records: Sequence[Record]) -> Iterator[tuple[Record, ...]]:
    """Slices that are small enough for a message, in order."""
    batch: list[Record] = []
    chars = 0
    for record in records:
        if batch and (len(batch) >= _BATCH_RECORDS or chars + len(record.text) > _BATCH_CHARS):
            yield tuple(batch)
            batch, chars = [], 0
        batch.append(record)
        chars += len(record.text)
    if batch:
        yield tuple(batch)


def _rows(vectors: Vectors) -> list[list[float]]:
    values = array("f")
    values.frombytes(vectors.data)
    if sys.byteorder == "big":
        values.byteswap()
    size = vectors.dimensions
    return [values[at : at + size].tolist() for at in range(0, len(values), size)] if size else []
