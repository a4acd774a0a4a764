"""Dead letter replay: puts the message of a dead letter back where it came from, exactly once."""

import re

from stretto.bus.connection import Connection
from stretto.bus.dead_letter_office import KeptLetter
from stretto.bus.dead_letters import DeadLetter
from stretto.bus.envelope import open_envelope
from stretto.bus.errors import Busy, CannotReplay, Conflict, DecodeError, Refused, StreamMissing
from stretto.bus.failpoints import reach
from stretto.bus.message import Message
from stretto.bus.run_log import RunLog
from stretto.bus.settlements import Settlements
from stretto.bus.streams import Deployment
from stretto.bus.subjects import RunKey, TaskKey
from stretto.bus.wire import Wire

__all__ = ["REPLAY", "DeadLetterReplay"]

REPLAY = "Stretto-Replay"
"""Header of a message that was put back: the id of its letter."""
_PUBLISHABLE = re.compile(r"[^\s*>\ufffd\x00-\x1f]+")
_FOR_THE_SERVER = "nats-"
"""Headers that the server obeys or adds: conditions, message ids, schedules. They belonged to the first time."""


class DeadLetterReplay:
    """Puts messages back.

    A settlement `replaying` is written before, `replayed` after. Whoever finds `replaying`, because a replay was cut off, looks for what
    it may have put back before it puts anything back itself:

    * below a run, where nothing is ever lost, for the message that names the letter; it is stored on the condition that none is there,
    * in a task queue, which forgets what is acknowledged, for the message, for a new dead letter about it, and for the attempt's result;
      within two minutes the server itself knows the message by its id. What is left is a task that was taken and put off without a trace:
      its agent finds in the journal what is done already.

    Args:
        result_type: what an attempt's result is, by which it is known that a task is done.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        deployment: Deployment,
        wire: Wire,
        settlements: Settlements,
        result_type: type[Message],
    ) -> None:
        self._jetstream = connection.jetstream
        self._deployment = deployment
        self._subjects = deployment.subjects
        self._wire = wire
        self._settlements = settlements
        self._result_type = result_type
        self._log = RunLog(connection=connection, subjects=self._subjects, wire=wire)

    async def replay(self, kept: KeptLetter) -> None:
        """Put the letter's message back on the subject that it came on.

        Raises:
            AlreadySettled: it was replayed or discarded before.
            CannotReplay: its message cannot be put back, or nothing would come of it; the letter stays open.
            Busy: the queue is full, or has another message on that subject just now; the letter stays open.
            TimedOut, Unreachable: whether it is back is not known; a replay again finds out.
            StreamMissing, NotPermitted: see `stretto.bus.errors`; the letter stays open.
        """
        letter = kept.letter
        stream = self._stream_of(letter)
        if stream.startswith(self._subjects.stream("RUNS_")):
            await self._check_against_log(letter, stream)
        elif kept.standing.state == "open" and await self._has_result(letter):
            raise CannotReplay(
                f"{letter.origin}: this attempt has its result, an agent would do nothing with it: submit a new run instead"
            )
        before = await self._settlements.write(kept.id, "replaying", allowed=("open", "replaying"))
        reach("dead.replay_begun")
        try:
            if before.state == "open" or not await self._came_through(kept):
                await self._put_back(kept, stream)
        except (Busy, Refused, StreamMissing):  # it is certainly not back
            await self._settlements.write(kept.id, "open", allowed=("replaying",))
            raise
        reach("dead.put_back")
        await self._settlements.write(kept.id, "replayed", allowed=("replaying", "open"))

    def _stream_of(self, letter: DeadLetter) -> str:
        """The stream that keeps the letter's origin."""
        if not letter.complete:
            raise CannotReplay(f"{letter.origin[:200]}: the letter does not hold the whole message: {letter.reason}")
        if not _PUBLISHABLE.fullmatch(letter.origin):
            raise CannotReplay(f"{letter.origin[:200]!r}: nobody may publish on such a subject: discard the letter")
        match letter.origin.split("."):
            case [self._subjects.prefix, "run", shard, _, *_]:
                stream = self._subjects.stream(f"RUNS_{shard}")
            case [self._subjects.prefix, "task", role, _, *_]:
                stream = self._subjects.stream(f"TASKS_{role}")
            case _:
                stream = ""
        if not stream or stream != letter.stream:
            raise CannotReplay(
                f"{letter.origin[:200]}: only what lay on a subject of a run or of a task queue can be put back: discard the letter"
            )
        return stream

    async def _check_against_log(self, letter: DeadLetter, stream: str) -> None:
        """A run's log keeps what was given up: a letter that says otherwise was made by somebody to have it put there by an operator."""
        stored = await self._jetstream.get(stream, letter.seq)
        if stored is None or (stored.subject, stored.data, stored.at) != (letter.origin, letter.data, letter.at):
            raise CannotReplay(f"{letter.origin}: the run's log does not hold this message: discard the letter")

    async def _put_back(self, kept: KeptLetter, stream: str) -> None:
        letter, queued = kept.letter, not stream.startswith(self._subjects.stream("RUNS_"))
        headers = {
            name: value for name, value in letter.headers.items() if not name.lower().startswith(_FOR_THE_SERVER)
        }
        headers[REPLAY] = kept.id
        if queued:
            headers["Nats-Msg-Id"] = f"{REPLAY}-{kept.id}"
        while True:
            there = await self._jetstream.read(stream, letter.origin, from_seq=1 if queued else letter.seq)
            if any((one.headers.get(REPLAY), one.data) == (kept.id, letter.data) for one in there):
                return
            if there and queued:
                raise Busy(f"{letter.origin} has another message just now: replay the letter when that is done")
            try:
                await self._jetstream.store(
                    letter.origin, letter.data, expect=there[-1].seq if there else 0, headers=headers
                )
            except Conflict:
                continue  # ours, sent twice or by another replay of the letter, or a stranger's: look
            return

    async def _came_through(self, kept: KeptLetter) -> bool:
        """Whether a replay that was cut off has left a trace outside the subject itself."""
        if kept.letter.stream.startswith(self._subjects.stream("RUNS_")):
            return False
        letters = await self._jetstream.read(
            self._subjects.stream("DEAD"), self._subjects.any_dead(kept.letter.origin), from_seq=kept.number + 1
        )
        return any([await self._is_about_replay(one.data, kept.id) for one in letters]) or await self._has_result(
            kept.letter
        )

    async def _is_about_replay(self, data: bytes, letter: str) -> bool:
        try:
            return open_envelope(await self._wire.unpack(data, None), DeadLetter).headers.get(REPLAY) == letter
        except DecodeError:
            return False

    async def _has_result(self, letter: DeadLetter) -> bool:
        """Whether the attempt that a queued task was for has its result; in whatever shard the run is."""
        try:
            keys = [_attempt(letter.origin, shard) for shard in range(self._deployment.shards)]
        except ValueError:  # not a task's subject
            return False
        return any([await self._log.holds(key.run, self._subjects.result(key), self._result_type) for key in keys])


def _attempt(subject: str, shard: int) -> TaskKey:
    """The attempt that a task's subject names, in a run of `shard`."""
    role, tenant, run, task, attempt, _ = subject.split(".")[2:]
    return TaskKey(RunKey(shard, tenant, run), role, task, int(attempt))
