"""Reader: reads every message of every run's log by a consumer of its own, beside the code under test, and never writes."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nats.js.api import ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from stretto.bus.artifacts import Artifacts
from stretto.bus.connection import Connection
from stretto.bus.dead_letters import DeadLetter
from stretto.bus.envelope import Envelope, open_envelope
from stretto.bus.errors import DecodeError
from stretto.bus.jetstream import Stored
from stretto.bus.run_log import stand_ins
from stretto.bus.streams import Deployment
from stretto.bus.subjects import RunKey
from stretto.bus.wire import Wire
from stretto.shared.contracts.account import Account

__all__ = ["ConsumerState", "Reader", "Seen"]

_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One stored message: `kind` is the token behind the run's (request, result, ...) or `step`, `tail` what comes behind that.

    Attributes:
        envelope: None when the bytes are no message.
    """

    stream: str
    seq: int
    at: datetime
    subject: str
    run: str
    kind: str
    tail: tuple[str, ...]
    envelope: Envelope | None


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """What the server says of one durable consumer."""

    stream: str
    name: str
    pending: int
    unacknowledged: int


class Reader:
    """What the bus holds. The runs' logs are read on from where the last call ended."""

    def __init__(self, connection: Connection, deployment: Deployment) -> None:
        self._connection = connection
        self._deployment = deployment
        self._next: dict[str, int] = defaultdict(lambda: 1)
        self._seen: list[Seen] = []
        self._wire = Wire(artifacts=Artifacts(connection=connection, subjects=deployment.subjects))

    async def read(self) -> Sequence[Seen]:
        """Everything in the runs' streams."""
        for shard in range(self._deployment.shards):
            stream = self._deployment.subjects.runs_stream(shard)
            for stored in await self._stored(stream, self._next[stream]):
                self._next[stream] = stored.seq + 1
                self._seen.append(await self._read(stream, stored))
        return self._seen

    async def letters(self) -> list[DeadLetter]:
        """Every dead letter."""
        return [
            open_envelope(await self._wire.unpack(stored.data, stored.headers), DeadLetter)
            for stored in await self._stored(self._deployment.subjects.stream("DEAD"), 1)
        ]

    async def accounts(self) -> list[Account]:
        """The account of every budget."""
        return [
            open_envelope(await self._wire.unpack(stored.data, stored.headers), Account)
            for stored in await self._stored(self._deployment.subjects.stream("LEDGERS"), 1)
        ]

    async def consumers(self) -> list[ConsumerState]:
        """Every durable consumer of every stream of the deployment."""
        found: list[ConsumerState] = []
        for stream in await self._streams():
            listed = await self._connection.jetstream.api(f"CONSUMER.LIST.{stream}")
            found += [
                ConsumerState(stream, one["name"], one["num_pending"], one["num_ack_pending"])
                for one in listed.get("consumers") or ()
                if "durable_name" in one["config"]  # the others are watchers' and this reader's own
            ]
        return found

    async def queued(self) -> list[str]:
        """The subject of everything that lies in the roles' queues."""
        found: list[str] = []
        for stream in await self._streams():
            if stream.startswith(self._deployment.subjects.stream("TASKS_")):
                info = await self._connection.jetstream.api(f"STREAM.INFO.{stream}", {"subjects_filter": ">"})
                found += info["state"].get("subjects") or ()
        return found

    async def _streams(self) -> list[str]:
        names = (await self._connection.jetstream.api("STREAM.NAMES"))["streams"] or ()
        return [name for name in names if name.startswith(self._deployment.subjects.stream(""))]

    async def _stored(self, stream: str, from_seq: int) -> list[Stored]:
        js = self._connection.client.jetstream()
        try:
            last = (await js.stream_info(stream)).state.last_seq
        except NotFoundError:
            return []
        found: list[Stored] = []
        if last < from_seq:
            return found
        config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=from_seq)
        listening: Any = await js.subscribe("", stream=stream, ordered_consumer=True, config=config)
        try:
            while True:
                msg = await listening.next_msg(timeout=_PATIENCE_S)
                at = msg.metadata
                found.append(Stored(msg.subject, at.sequence.stream, at.timestamp, msg.data, dict(msg.headers or {})))
                if at.sequence.stream >= last or not at.num_pending:
                    return found
        finally:
            await listening.unsubscribe()

    async def _read(self, stream: str, stored: Stored) -> Seen:
        match stored.subject.split("."):
            case [_, "run", shard, tenant, run, kind, *tail]:
                pass
            case [_, "step", shard, tenant, run, *tail]:
                kind = "step"
            case _:
                return Seen(stream, stored.seq, stored.at, stored.subject, "", "junk", (), None)
        try:
            key = RunKey(int(shard), tenant, run)
            envelope = await self._wire.unpack(stored.data, stored.headers, defaults=stand_ins(stored, key))
        except (ValueError, DecodeError):
            envelope = None
        return Seen(stream, stored.seq, stored.at, stored.subject, run, kind, tuple(tail), envelope)
