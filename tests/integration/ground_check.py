"""Ground check (invariant I6): every message of a deployment is done, pending or dead, and nothing undeliverable lies anywhere else.

It reads streams and consumers as the server shows them, so it can be pointed at any deployment, whatever runs there:

    await settled_ground(connection, deployment)  # raises AssertionError with every message that is unaccounted for
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from stretto.bus.artifacts import Artifacts
from stretto.bus.connection import Connection
from stretto.bus.dead_letters import DeadLetter, open_letter
from stretto.bus.errors import DecodeError
from stretto.bus.jetstream import Stored
from stretto.bus.streams import Deployment, deployment_streams
from stretto.bus.subjects import RunKey
from stretto.bus.wire import Wire
from stretto.supervisor.reading import FactReader

__all__ = ["Accounts", "settled_ground", "take_stock"]

LIMIT_S = 30.0
DELIVERED = ("request", "result", "question", "command", "timer")
"""The kinds of messages below a run that come to a supervisor."""


@dataclass
class Accounts:
    """What a deployment holds.

    Attributes:
        done: messages of runs that can be read and were acknowledged.
        pending: messages that will be delivered (again).
        dead: dead letters.
        ignored: subjects of messages in the runs' streams that are delivered to nobody and can be read by nobody: they count for nothing.
        unaccounted: what is neither; one line each.
    """

    done: int = 0
    pending: int = 0
    dead: int = 0
    ignored: list[str] = field(default_factory=list)
    unaccounted: list[str] = field(default_factory=list)


async def settled_ground(connection: Connection, deployment: Deployment, *, limit_s: float = LIMIT_S) -> Accounts:
    """Wait until nothing is pending and everything is accounted for.

    Raises:
        AssertionError: it is not so within `limit_s`; the text says what is wrong.
    """
    accounts = Accounts()
    try:
        async with asyncio.timeout(limit_s):
            while True:
                accounts = await take_stock(connection, deployment)
                if not accounts.pending and not accounts.unaccounted:
                    return accounts
    except TimeoutError:
        wrong = [f"{accounts.pending} messages are pending", *accounts.unaccounted]
        raise AssertionError("\n".join(wrong)) from None


async def take_stock(connection: Connection, deployment: Deployment) -> Accounts:
    """Count everything once. While processes work, what is just moving may be missed: see `settled_ground`."""
    stock = _Stock(connection, deployment)
    await stock.take()
    return stock.accounts


class _Stock:
    def __init__(self, connection: Connection, deployment: Deployment) -> None:
        self.accounts = Accounts()
        self._jetstream = connection.jetstream
        self._deployment = deployment
        self._subjects = deployment.subjects
        self._wire = Wire(artifacts=Artifacts(connection=connection, subjects=deployment.subjects))
        self._reader = FactReader(subjects=deployment.subjects, wire=self._wire)
        self._letters: dict[tuple[str, int], list[DeadLetter]] = {}

    async def take(self) -> None:
        await self._take_letters()
        head = f"{self._subjects.prefix.upper()}_"
        known = {spec.name for spec in deployment_streams(self._deployment)}
        async for name in self._stream_names():
            if name.startswith(f"{head}TASKS_"):
                await self._take_queue(name)
            elif name.startswith(f"{head}RUNS_"):
                await self._take_runs(name)
            elif name == f"{head}ADVISORIES":
                await self._consumers(name)
            elif name.startswith(head) and name not in known:
                self._wrong(f"{name} is a stream of nobody's")

    # Dead

    async def _take_letters(self) -> None:
        """Each letter is about one message, and holds all its bytes; whether it does is compared where the message is kept."""
        for stored in await self._jetstream.read(self._subjects.stream("DEAD"), self._subjects.any_dead()):
            self.accounts.dead += 1
            try:
                envelope = await self._wire.unpack(stored.data, stored.headers)
                letter = open_letter(envelope, subject=stored.subject, subjects=self._subjects)
            except DecodeError:
                continue  # whatever it is, it is dead
            self._letters.setdefault((letter.stream, letter.seq), []).append(letter)
        copies = Counter(
            (stream, seq, letter.at) for (stream, seq), letters in self._letters.items() for letter in letters
        )
        for (stream, seq, _), count in copies.items():
            if count > 1:
                self._wrong(f"message {seq} of {stream} has {count} dead letters")

    async def _is_dead(self, stream: str, stored: Stored) -> bool:
        letters = [one for one in self._letters.get((stream, stored.seq), ()) if one.at == stored.at]
        for letter in letters:
            if (letter.origin, letter.data) != (stored.subject, stored.data):
                self._wrong(f"message {stored.seq} of {stream} is another one than its dead letter says")
        return bool(letters)

    # Done or pending

    async def _take_runs(self, stream: str) -> None:
        waiting, floor = await self._consumers(stream)
        shard = int(stream.rpartition("_")[2])
        for stored in await self._jetstream.read(stream, f"{self._subjects.prefix}.>"):
            if await self._is_dead(stream, stored):
                continue
            if await self._reads(stored):
                self.accounts.done += 1
            elif not self._is_delivered(stored.subject, shard):
                self.accounts.ignored.append(stored.subject)
            elif stored.seq <= floor or not waiting:
                self._wrong(
                    f"message {stored.seq} of {stream} on {stored.subject} was acknowledged, cannot be read, and has no dead letter"
                )

    def _is_delivered(self, subject: str, shard: int) -> bool:
        tokens = subject.removeprefix(f"{self._subjects.prefix}.run.{shard}.").split(".")
        return subject.startswith(f"{self._subjects.prefix}.run.") and len(tokens) > 3 and tokens[2] in DELIVERED

    async def _reads(self, stored: Stored) -> bool:
        """Whether the supervisor sees a fact in it, or an agent a step."""
        if stored.subject.startswith(f"{self._subjects.prefix}.step.") or ".schedule." in stored.subject:
            try:
                envelope = await self._wire.unpack(stored.data, stored.headers)
                RunKey(0, envelope.tenant, envelope.run)
            except (DecodeError, ValueError):
                return False
            return True
        return (await self._reader.fold([stored])).last_seq == stored.seq

    async def _take_queue(self, stream: str) -> None:
        """A queue forgets what is acknowledged: what it still has must be on its way."""
        found = await self._jetstream.api(f"STREAM.INFO.{stream}")
        waiting, _ = await self._consumers(stream)
        stuck = int(found["state"]["messages"]) - waiting
        if stuck > 0:
            there = [stored.subject for stored in await self._jetstream.read(stream, f"{self._subjects.prefix}.>")]
            self._wrong(f"{stream} holds {stuck} messages that it delivers to nobody, among {there}")
        for stored in await self._jetstream.read(stream, f"{self._subjects.prefix}.>"):
            if await self._is_dead(stream, stored):
                self._wrong(f"message {stored.seq} of {stream} on {stored.subject} is dead and still in the queue")

    async def _consumers(self, stream: str) -> tuple[int, int]:
        """How many messages a stream's consumers have yet to deliver or to hear of, and up to which sequence all are acknowledged."""
        listed = await self._jetstream.api(f"CONSUMER.LIST.{stream}")
        consumers: list[dict[str, Any]] = listed.get("consumers") or []
        waiting = sum(int(one["num_pending"]) + int(one["num_ack_pending"]) for one in consumers)
        self.accounts.pending += waiting
        return waiting, min((int(one["ack_floor"]["stream_seq"]) for one in consumers), default=0)

    async def _stream_names(self) -> AsyncGenerator[str]:
        offset = 0
        while True:
            found = await self._jetstream.api("STREAM.NAMES", {"offset": offset})
            names: list[str] = found.get("streams") or []
            for name in names:
                yield name
            offset += len(names)
            if not names or offset >= int(found["total"]):
                return

    def _wrong(self, text: str) -> None:
        self.accounts.unaccounted.append(text)
