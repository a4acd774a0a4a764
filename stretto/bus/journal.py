"""Journal: the steps of one attempt, recorded as soon as their outcome is known, and found again when the attempt is done again."""

import asyncio
import hashlib
import logging
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pydantic import JsonValue

from stretto.bus.effect_failure import EffectFailure
from stretto.bus.envelope import new_id
from stretto.bus.errors import RetryLater, StreamMissing, TooLarge
from stretto.bus.replay import Replay
from stretto.bus.step import Identity, Intent, Observation, Step, StepEnd, StepKind, digest_of
from stretto.bus.subjects import TaskKey

__all__ = ["Effect", "Entry", "Journal", "StepStore", "keep_trying"]

_log = logging.getLogger(__name__)
_PAUSES_S = (0.25, 0.5, 1.0, 2.0)
_GRACE_S = 5.0

Entry = TypeVar("Entry", Step, Intent)
Result = TypeVar("Result")


class StepStore(Protocol):
    """Keeps the entries of one attempt."""

    async def write(self, entry: Entry, *, message_id: str) -> tuple[Entry, bool]:
        """Write the entry, once. Returned is what stands there now, and whether that is this one, which may have been sent before.

        Raises:
            RetryLater, StreamMissing: it is not known whether it is written: write it again.
            TooLarge: it cannot be written.
        """
        ...


@dataclass(slots=True)
class Effect:
    """One effect of the attempt that has begun.

    Attributes:
        position: among the attempt's effects.
        key: the same for the same effect in every attempt at the task, and no other effect's.
        step: its outcome, if that is on record.
        intended: it is on record that it began.
    """

    position: int
    kind: StepKind
    identity: Identity
    key: str
    step: Step | None = None
    intended: bool = False


class Journal:
    """The journal of one attempt, in the process that works on it.

    Args:
        steps, intents: what is on record, in the order in which it was stored.
        settled: positions of the questions that are settled, in the order in which they were asked.
        grace_s: see `Replay`.
    """

    def __init__(
        self,
        *,
        key: TaskKey,
        store: StepStore,
        steps: Sequence[Step] = (),
        intents: Sequence[Intent] = (),
        settled: Sequence[int] = (),
        grace_s: float = _GRACE_S,
    ) -> None:
        self._key = key
        self._store = store
        self._steps = {step.position: step for step in steps}
        self._resumption = len(settled)
        begun = [intent for intent in intents if intent.position not in self._steps]
        self._replay = Replay(steps=steps, intents=begun, settled=settled, grace_s=grace_s)
        self._taken = {*self._steps, *(intent.position for intent in begun)}
        self._free = 0
        self._occurrences: Counter[tuple[str, str, str]] = Counter()
        self._observed: dict[tuple[str, str], deque[Observation]] = defaultdict(deque)
        entries: list[Step | Intent] = [*steps, *intents]
        recorded = {one.ordinal: one for entry in entries for one in entry.observations}
        for _, observation in sorted(recorded.items()):
            self._observed[observation.name, observation.digest].append(observation)
        self._next_ordinal = max(recorded, default=-1) + 1
        self._unwritten: list[Observation] = []
        self.superseded = False
        """Another process works on the attempt too, and was first somewhere."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is on record, by position."""
        return tuple(step for _, step in sorted(self._steps.items()))

    @property
    def unasked(self) -> Iterator[Step | Intent]:
        """What is on record and was not asked for again."""
        return iter(self._replay.rest.values())

    async def begin(self, kind: StepKind, name: str, value: JsonValue) -> Effect:
        """Begin an effect; wait until its recorded outcome may be handed back, or until it may do something new.

        Raises:
            JournalMismatch: something else is on record.
            ValueError, TypeError: `value` is nothing that JSON can say.
        """
        asked = (kind, name, digest_of(value))
        identity = Identity(*asked, occurrence=self._occurrences[asked])
        self._occurrences[asked] += 1
        key = self._idempotency_key(identity)
        match self._replay.claim(identity):
            case Step() as step:
                await self._replay.turn(step)
                return Effect(step.position, kind, identity, key, step)
            case Intent() as intent:
                await self._replay.finished(identity)
                return Effect(intent.position, kind, identity, intent.key, intended=True)
            case None:
                await self._replay.finished(identity)
                return Effect(self._take_position(), kind, identity, key)

    async def intend(self, effect: Effect) -> None:
        """Record that an effect with consequences begins."""
        intent = Intent(
            position=effect.position,
            kind=effect.kind,
            name=effect.identity.name,
            digest=effect.identity.digest,
            occurrence=effect.identity.occurrence,
            key=effect.key,
            observations=tuple(self._unwritten),
        )
        await self._write(intent)
        effect.intended = True

    async def record(
        self,
        effect: Effect,
        *,
        end: StepEnd = "done",
        output: JsonValue = None,
        failure: EffectFailure | None = None,
    ) -> Step:
        """Record the outcome of an effect; return what counts, which may be another process's. It is tried until it is stored.

        Raises:
            BusError: the server will never take it.
        """
        step = Step(
            position=effect.position,
            kind=effect.kind,
            name=effect.identity.name,
            digest=effect.identity.digest,
            occurrence=effect.identity.occurrence,
            resumption=self._resumption,
            end=end,
            output=output,
            failure=failure,
            observations=tuple(self._unwritten),
        )
        try:
            counts = await self._write(step)
        except TooLarge as error:
            # It happened, and must not happen again: that it cannot be told is its outcome.
            told = step.model_copy(update={"end": "failed", "output": None, "failure": EffectFailure.of(error)})
            counts = await self._write(told)
        self._steps[counts.position] = counts
        return counts

    def observed(self, name: str, value: JsonValue) -> Observation | None:
        """What such a read gave the first time; each is told once."""
        found = self._observed.get((name, digest_of(value)))
        return found.popleft() if found else None

    def observe(self, name: str, value: JsonValue, *, output: JsonValue, failure: EffectFailure | None) -> None:
        """Keep what a read gave: it is recorded with the next entry."""
        self._unwritten.append(
            Observation(ordinal=self._next_ordinal, name=name, digest=digest_of(value), output=output, failure=failure)
        )
        self._next_ordinal += 1

    async def _write(self, entry: Entry) -> Entry:
        message_id = new_id()
        there, mine = await keep_trying(lambda: self._store.write(entry, message_id=message_id))
        if not mine:
            self.superseded = True
        kept = {one.ordinal for one in entry.observations}
        self._unwritten = [one for one in self._unwritten if one.ordinal not in kept]
        return there

    def _idempotency_key(self, identity: Identity) -> str:
        run = self._key.run
        place = (run.tenant, run.run, self._key.role, self._key.task, *map(str, identity))
        return hashlib.sha256("\n".join(place).encode()).hexdigest()[:32]

    def _take_position(self) -> int:
        while self._free in self._taken:
            self._free += 1
        self._taken.add(self._free)
        return self._free


async def keep_trying(write: Callable[[], Awaitable[Result]]) -> Result:
    """Write again and again while the bus is away: what is to be written was paid for. Whoever has no more time cancels it."""
    tries = 0
    while True:
        try:
            return await write()
        except (RetryLater, StreamMissing) as error:
            pause_s = _PAUSES_S[min(tries, len(_PAUSES_S) - 1)]
            _log.log(
                logging.DEBUG if tries else logging.WARNING, "cannot be written now, again in %g s: %s", pause_s, error
            )
            tries += 1
            await asyncio.sleep(pause_s)
