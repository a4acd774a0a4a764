"""Client: the requester's side. It writes requests and commands into runs, waits for their answer, and watches what happens."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime

from nats.aio.msg import Msg

from stretto.bus.artifacts import Artifacts
from stretto.bus.codec import encode_body
from stretto.bus.connection import Connection
from stretto.bus.envelope import Envelope, new_id, open_envelope
from stretto.bus.errors import Conflict, DecodeError, RunExists, TimedOut
from stretto.bus.jetstream import Stored
from stretto.bus.message import Message
from stretto.bus.run_log import RunLog, stand_ins
from stretto.bus.streams import Deployment
from stretto.bus.subjects import RunKey, RunSubject, check_token
from stretto.bus.wire import Wire

__all__ = ["Client", "LiveMessage", "RunMessage"]

_LOOK_AGAIN_S = 5.0
"""A watcher looks at the log itself this often, for what was said while it was disconnected."""


@dataclass(frozen=True, slots=True)
class RunMessage:
    """One stored message of a run: a fact."""

    subject: RunSubject
    seq: int
    at: datetime
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class LiveMessage:
    """One message of progress: it was never stored."""

    envelope: Envelope


class Client:
    """Speaks for one principal of one tenant.

    Args:
        answer_type: what an answer must be: anything else where the answer belongs counts for nothing. None takes any message.

    Raises:
        ValueError: the name of one has characters that are not allowed.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        deployment: Deployment,
        tenant: str = "default",
        principal: str = "local",
        answer_type: type[Message] | None = None,
    ) -> None:
        self._connection = connection
        self._deployment = deployment
        self._subjects = deployment.subjects
        self._wire = Wire(artifacts=Artifacts(connection=connection, subjects=self._subjects))
        self._log = RunLog(connection=connection, subjects=self._subjects, wire=self._wire)
        self._tenant = check_token(tenant, "tenant")
        self._principal = check_token(principal, "principal")
        self._answer_type = answer_type

    @property
    def tenant(self) -> str:
        return self._tenant

    def key(self, run: str) -> RunKey:
        """Where the run's log is."""
        return RunKey.of(self._tenant, run, self._deployment.shards)

    async def submit(self, request: Message, *, run: str | None = None) -> str:
        """Start a run; return its id. Submitting the same request under the same run id again is the same run.

        Raises:
            ValueError: the run id has characters that are not allowed.
            RunExists: the run id belongs to another request.
            TooLarge, Busy, TimedOut, StreamMissing: see `stretto.bus.errors`. After TimedOut, submit again with the same run id.
        """
        run = new_id() if run is None else run
        key = self.key(run)
        envelope = Envelope.of(request, tenant=self._tenant, run=run, sender=self._principal)
        subject = self._subjects.request(key, self._principal)
        try:
            await self._connection.jetstream.store(
                subject, await self._wire.pack(envelope), expect=0, expect_on=self._subjects.any_request(key)
            )
        except Conflict as error:
            if not await self._is_mine(key, subject, envelope):
                raise RunExists(f"run {run} belongs to another request: choose another run id") from error
        return run

    async def command(self, run: str, command: Message) -> None:
        """Say something about a run that is under way."""
        key, command_id = self.key(run), new_id()
        envelope = Envelope.of(command, tenant=self._tenant, run=run, sender=self._principal, message_id=command_id)
        await self._log.append(key, self._subjects.command(key, self._principal, command_id), envelope, after=0)

    async def exists(self, run: str) -> bool:
        """Whether anything is known of this run."""
        return bool(await self._log.fold(self.key(run)))

    async def result(self, run: str, *, timeout_s: float | None = None) -> Envelope:
        """Wait for the run's answer.

        Raises:
            TimedOut: there is none within `timeout_s`. The run goes on.
        """
        key = self.key(run)
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._connection.listen(f"{self._subjects.log(key)}.answer", limit=4) as incoming,
            ):
                while True:
                    answer = await self._answer(key)
                    if answer is None:
                        said = await _next(incoming)
                        answer = await self._read(said) if said else None
                    if answer is not None and self._is_answer(answer):
                        return answer
        except TimeoutError as error:
            raise TimedOut(f"run {run} has no answer after {timeout_s:g} s; it goes on") from error

    async def log(self, run: str) -> list[RunMessage]:
        """What is stored of the run, in order. Messages that cannot be read are left out; the supervisor dead-letters them."""
        return await self._facts(self.key(run), 1)

    async def events(self, run: str) -> AsyncGenerator[RunMessage | LiveMessage]:
        """What is stored of the run, from its beginning, and its live progress, until its answer (included)."""
        key = self.key(run)
        log = f"{self._subjects.log(key)}."
        async with self._connection.listen(f"{log}>", self._subjects.any_progress(key)) as incoming:
            seen = 0
            while True:
                for fact in await self._facts(key, seen + 1):
                    seen = fact.seq
                    yield fact
                    if fact.subject.kind == "answer" and self._is_answer(fact.envelope):
                        return
                # Nothing is yielded inside a timeout: it would go off in whatever the caller does between two events.
                msg = await _next(incoming)
                while msg is not None and not msg.subject.startswith(log):
                    live = await self._read(msg)
                    if live is not None:
                        yield LiveMessage(live)
                    msg = await _next(incoming)

    async def _answer(self, key: RunKey) -> Envelope | None:
        """The first message on the answer's subject that is one: whatever comes behind it counts for nothing."""
        for stored in await self._log.all_on(key, self._subjects.answer(key)):
            answer = await self._read(stored)
            if answer is not None and self._is_answer(answer):
                return answer
        return None

    def _is_answer(self, envelope: Envelope) -> bool:
        if self._answer_type is None:
            return True
        try:
            open_envelope(envelope, self._answer_type)
        except DecodeError:
            return False
        return True

    async def _read(self, msg: Msg | Stored) -> Envelope | None:
        try:
            return await self._wire.unpack(msg.data, msg.headers)
        except DecodeError:  # junk counts for nothing
            return None

    async def _facts(self, key: RunKey, from_seq: int) -> list[RunMessage]:
        facts: list[RunMessage] = []
        for stored in await self._log.fold(key, from_seq=from_seq):
            try:
                subject = self._subjects.parse_run(stored.subject)
                envelope = await self._wire.unpack(stored.data, stored.headers, defaults=stand_ins(stored, key))
            except (ValueError, DecodeError):
                continue
            facts.append(RunMessage(subject, stored.seq, stored.at, envelope))
        return facts

    async def _is_mine(self, key: RunKey, subject: str, envelope: Envelope) -> bool:
        there = await self._log.last(key, subject)
        if there is None:
            return False
        try:
            found = await self._wire.unpack(there.data, there.headers, defaults=stand_ins(there, key))
        except DecodeError:
            return False
        return encode_body(found.body) == encode_body(envelope.body)


async def _next(incoming: asyncio.Queue[Msg]) -> Msg | None:
    """The next message, or None when it is time to look at the log itself."""
    try:
        async with asyncio.timeout(_LOOK_AGAIN_S):
            return await incoming.get()
    except TimeoutError:
        return None
