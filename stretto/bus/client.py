"""Client: the requester's side. It writes requests and commands into runs, waits for their answer, and watches what happens."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from nats.aio.msg import Msg

from stretto.bus.artifacts import Artifacts
from stretto.bus.codec import encode_body
from stretto.bus.connection import Connection
from stretto.bus.envelope import Envelope, new_id, open_envelope
from stretto.bus.errors import Conflict, DecodeError, RunExists, TimedOut
from stretto.bus.hops import Sending
from stretto.bus.jetstream import Stored
from stretto.bus.message import Message
from stretto.bus.run_log import RunLog, stand_ins
from stretto.bus.streams import Deployment
from stretto.bus.subjects import RunKey, check_token
from stretto.bus.tenant_logs import RunMessage, TenantLogs
from stretto.bus.wire import Wire

__all__ = ["Client", "LiveMessage", "RunMessage"]

_LOOK_AGAIN_S = 5.0
"""A watcher looks at the log itself this often, for what was said while it was disconnected."""


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
        self._logs = TenantLogs(connection=connection, deployment=deployment, wire=self._wire, tenant=self._tenant)

    @property
    def tenant(self) -> str:
        return self._tenant

    @property
    def principal(self) -> str:
        return self._principal

    @property
    def logs(self) -> TenantLogs:
        """The logs of the tenant's runs."""
        return self._logs

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
        packed, anyone = await self._wire.pack(envelope), self._subjects.any_request(key)
        try:
            with Sending(
                self._subjects.run_template("request"), tenant=self._tenant, run=run, message_id=envelope.id
            ) as sending:
                await self._connection.jetstream.store(
                    subject, packed, expect=0, expect_on=anyone, headers=sending.headers
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

    async def command_once(
        self, run: str, command: Message, command_id: str, *, counts: Callable[[RunMessage], bool]
    ) -> int:
        """Give the one command of this id, whoever gives it, and return its sequence. The server takes the first one.

        What does not count (`counts` says so; junk never does) stands in nobody's way: the command is written behind it. The same command
        by the same principal, given again, is one command: so repeat it after TimedOut.

        Raises:
            Conflict: another one was first.
            Busy, TimedOut, StreamMissing, TooLarge: see `stretto.bus.errors`.
        """
        key = self.key(run)
        subject, anyone = (
            self._subjects.command(key, self._principal, command_id),
            self._subjects.any_command(key, command_id),
        )
        envelope = Envelope.of(command, tenant=self._tenant, run=run, sender=self._principal)
        payload, after = await self._wire.pack(envelope), 0
        while True:
            try:
                with Sending(
                    self._subjects.run_template("command"), tenant=self._tenant, run=run, message_id=envelope.id
                ) as sending:
                    return await self._connection.jetstream.store(
                        subject, payload, expect=after, expect_on=anyone, headers=sending.headers
                    )
            except Conflict:
                newer = [one for one in await self._log.all_on(key, anyone) if one.seq > after]
                standing = next((one for one in await self._logs.opened(newer) if counts(one)), None)
                if (
                    standing is not None
                    and standing.subject.tail[0] == self._principal
                    and _same(standing.envelope, envelope)
                ):
                    return standing.seq
                if standing is not None or not newer:
                    raise
                after = newer[-1].seq

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
                    if answer is not None and self._is_answer(key, answer):
                        return answer
        except TimeoutError as error:
            raise TimedOut(f"run {run} has no answer after {timeout_s:g} s; it goes on") from error

    async def log(self, run: str) -> list[RunMessage]:
        """What is stored of the run, in order. Messages that cannot be read are left out; the supervisor dead-letters them."""
        return await self._logs.of_run(self.key(run))

    async def events(self, run: str) -> AsyncGenerator[RunMessage | LiveMessage]:
        """What is stored of the run, from its beginning, and its live progress, until its answer (included)."""
        key = self.key(run)
        log = f"{self._subjects.log(key)}."
        async with self._connection.listen(f"{log}>", self._subjects.any_progress(key)) as incoming:
            seen = 0
            while True:
                for fact in await self._logs.of_run(key, seen + 1):
                    seen = fact.seq
                    yield fact
                    if fact.subject.kind == "answer" and self._is_answer(key, fact.envelope):
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
            if answer is not None and self._is_answer(key, answer):
                return answer
        return None

    def _is_answer(self, key: RunKey, envelope: Envelope) -> bool:
        if (envelope.tenant, envelope.run) != (key.tenant, key.run):  # as for supervisors, it is none then
            return False
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

    async def _is_mine(self, key: RunKey, subject: str, envelope: Envelope) -> bool:
        there = await self._log.last(key, subject)
        if there is None:
            return False
        try:
            found = await self._wire.unpack(there.data, there.headers, defaults=stand_ins(there, key))
        except DecodeError:
            return False
        return _same(found, envelope)


def _same(one: Envelope, other: Envelope) -> bool:
    return encode_body(one.body) == encode_body(other.body)


async def _next(incoming: asyncio.Queue[Msg]) -> Msg | None:
    """The next message, or None when it is time to look at the log itself."""
    try:
        async with asyncio.timeout(_LOOK_AGAIN_S):
            return await incoming.get()
    except TimeoutError:
        return None
