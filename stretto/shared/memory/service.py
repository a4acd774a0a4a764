"""Memory service: the one owner of the vector store, reached by request and reply over the bus."""

import asyncio
import contextlib
import logging
import sys
from array import array
from collections.abc import Callable, Generator
from datetime import UTC, datetime

from nats.aio.msg import Msg

from stretto import __version__
from stretto.bus.agent_card import AgentCard
from stretto.bus.connection import Connection
from stretto.bus.envelope import Envelope, open_envelope
from stretto.bus.errors import BusError, DecodeError
from stretto.bus.hops import Handling
from stretto.bus.message import Message
from stretto.bus.registry import Announcer
from stretto.bus.subjects import Subjects
from stretto.bus.wire import Wire
from stretto.bus.work import Work, working_on
from stretto.shared.contracts.memory import (
    AddRecords,
    AroundRecord,
    EmbedTexts,
    ForgetRecords,
    GetRecords,
    MemoryDone,
    MemoryFailure,
    Records,
    SearchMemory,
    Sources,
    StatMemory,
    Vectors,
)
from stretto.shared.memory.client import NO_RUN
from stretto.shared.memory.errors import MemoryFailed, MemoryRefused
from stretto.shared.memory.protocol import Memory

__all__ = ["MEMORY_ROLE", "MemoryService"]

_log = logging.getLogger(__name__)
MEMORY_ROLE = "memory"
_AT_ONCE = 8
_WAITING = 512
_PAGE = 2_000
"""Sources in one reply."""


class MemoryService:
    """Serves the memories of all tenants. Whose memory a call means is said by its subject, which the server's permissions guard."""

    def __init__(
        self,
        *,
        connection: Connection,
        subjects: Subjects,
        wire: Wire,
        memory_of: Callable[[str], Memory],
        instance: str,
    ) -> None:
        self._connection = connection
        self._subjects = subjects
        self._wire = wire
        self._memory_of = memory_of
        self._instance = instance
        self._started_at = datetime.now(UTC)
        self._calls: asyncio.Queue[Msg] = asyncio.Queue(maxsize=_WAITING)
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Serve until `stop`; calls in hand are answered."""
        subscription = await self._connection.subscribe(self._subjects.any_memory(), self._take, queue=MEMORY_ROLE)
        announcer = Announcer(connection=self._connection, subjects=self._subjects, card=self._card)
        async with asyncio.TaskGroup() as group:
            servers = [group.create_task(self._serve()) for _ in range(_AT_ONCE)]
            announcing = group.create_task(announcer.run())
            try:
                await self._stopping.wait()
                await self._connection.drain(subscription)
                await self._calls.join()
            finally:
                for task in (*servers, announcing):
                    task.cancel()

    def stop(self) -> None:
        """Take no more calls."""
        self._stopping.set()

    def _card(self) -> AgentCard:
        return AgentCard(
            role=MEMORY_ROLE,
            instance=self._instance,
            description="Owns the vector store and searches it.",
            version=__version__,
            started_at=self._started_at,
            slots=_AT_ONCE,
        )

    async def _take(self, msg: Msg) -> None:
        if self._calls.full():
            await self._reply(msg, MemoryFailure(error="MemoryUnavailable", message="the memory service is overloaded"))
        else:
            self._calls.put_nowait(msg)

    async def _serve(self) -> None:
        while True:
            msg = await self._calls.get()
            try:
                await self._reply(msg, await self._answer(msg))
            except BusError as error:
                _log.warning("%s: the reply was not sent: %s", msg.subject, error)
            finally:
                self._calls.task_done()

    async def _answer(self, msg: Msg) -> Message:
        try:
            tenant, verb = msg.subject.split(".")[-2:]
            envelope = await self._wire.unpack(msg.data, msg.headers)
            if envelope.tenant != tenant:
                raise MemoryRefused("the envelope says another tenant than its subject")  # noqa: TRY301 (answered below)
            with self._told(msg, envelope):
                return await self._do(self._memory_of(tenant), verb, envelope)
        except (DecodeError, MemoryFailed, ValueError) as error:
            return MemoryFailure(error=type(error).__name__, message=str(error))
        except Exception as error:  # noqa: BLE001 (the edge of a handler: one bad call must not end the service)
            _log.exception("%s failed", msg.subject)
            return MemoryFailure(error=type(error).__name__, message="the memory service failed; its log says where")

    @contextlib.contextmanager
    def _told(self, msg: Msg, envelope: Envelope) -> Generator[None]:
        """Tell of the block as of handling a call: of a run, or of none."""
        run = "" if envelope.run == NO_RUN else envelope.run
        with contextlib.ExitStack() as stack:
            if run:
                stack.enter_context(working_on(Work(envelope.tenant, run)))
            template = self._subjects.memory_template()
            stack.enter_context(
                Handling(template, tenant=envelope.tenant, run=run, message_id=envelope.id, headers=msg.headers)
            )
            yield

    async def _do(self, memory: Memory, verb: str, envelope: Envelope) -> Message:
        match verb:
            case "add":
                return MemoryDone(count=await memory.add(open_envelope(envelope, AddRecords).records))
            case "search":
                search = open_envelope(envelope, SearchMemory)
                return await memory.search(search.query, scope=search.scope, limit=search.limit)
            case "get":
                return Records(records=await memory.get(open_envelope(envelope, GetRecords).ids))
            case "around":
                around = open_envelope(envelope, AroundRecord)
                return Records(records=await memory.around(around.id, reach=around.reach))
            case "forget":
                call = open_envelope(envelope, ForgetRecords)
                count = await memory.forget(
                    root=call.root, sources=call.sources, everything=call.everything, keep_hash=call.keep_hash
                )
                return MemoryDone(count=count)
            case "sources":
                page = open_envelope(envelope, StatMemory)
                sources = await memory.sources(root=page.root)
                until = page.offset + _PAGE
                return Sources(sources=sources[page.offset : until], more=until < len(sources))
            case "stats":
                return await memory.stats()
            case "embed":
                return _vectors(await memory.embed(open_envelope(envelope, EmbedTexts).texts))
            case _:
                raise MemoryRefused(f"the memory service has no verb {verb!r}")

    async def _reply(self, msg: Msg, message: Message) -> None:
        if not msg.reply:
            return
        tenant = msg.subject.split(".")[-2]
        envelope = Envelope.of(message, tenant=tenant, run=NO_RUN, sender=self._instance)
        await self._connection.publish(msg.reply, await self._wire.pack(envelope))


def _vectors(rows: list[list[float]]) -> Vectors:
    data = array("f", [value for row in rows for value in row])
    if sys.byteorder == "big":
        data.byteswap()
    return Vectors(dimensions=len(rows[0]) if rows else 0, data=data.tobytes())
