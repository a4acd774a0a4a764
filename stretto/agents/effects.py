"""Effects: the one way in which a handler reaches beyond itself. Each effect is a step of the attempt's journal."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from stretto.agents.edge import Edge
from stretto.agents.errors import TaskPermanent
from stretto.agents.gate import Gate, Stop
from stretto.agents.human_answer import HumanAnswer
from stretto.agents.recorder import Recorder
from stretto.bus.effect_failure import EffectFailure
from stretto.bus.envelope import describe
from stretto.bus.errors import JournalMismatch
from stretto.bus.failpoints import reach
from stretto.bus.journal import Effect, keep_trying
from stretto.bus.step import Step, StepKind
from stretto.bus.subjects import TaskKey
from stretto.shared.contracts.question import Question, Settled, question_id
from stretto.shared.money.errors import BudgetSpent
from stretto.shared.tools.protocol import Consequences

__all__ = ["Effects"]

Result = TypeVar("Result")

_JSON: Final[TypeAdapter[JsonValue]] = TypeAdapter(JsonValue, config=ConfigDict(allow_inf_nan=False))
_SHOWN_CHARS = 1_000


class Effects:
    """The effects of one attempt.

    Args:
        put: writes a question into the run's log, once.
        settled: the attempt's questions that are settled.
        edge: what happens when an effect fails for a budget; without one it has failed.

    Attributes:
        unsure: names of effects that were cut off and cannot be done again without harm.
    """

    def __init__(
        self,
        *,
        key: TaskKey,
        recorder: Recorder,
        gate: Gate,
        put: Callable[[Question], Awaitable[None]],
        settled: Sequence[Settled],
        edge: Edge | None = None,
    ) -> None:
        self._key = key
        self._recorder = recorder
        self._gate = gate
        self._put = put
        self._settled = {one.position: one for one in settled}
        self._edge = edge
        self.unsure: list[str] = []

    async def perform(
        self,
        kind: StepKind,
        name: str,
        value: JsonValue,
        call: Callable[[str], Awaitable[Any]],
        parse: Callable[[JsonValue], Result],
        *,
        effects: Consequences = "none",
    ) -> Result:
        """Do it, unless its outcome is on record; return what it gives, or raise what it raises.

        Args:
            value: all that its outcome depends on.
            call: does it; is given the idempotency key.
            parse: reads what is recorded; pydantic's `ValidationError` if that is something else.

        Raises:
            TaskPermanent: `value`, or what `call` returns, is nothing that JSON can say.
        """
        while True:
            effect = await self._recorder.begin(kind, name, value)
            error: Exception | None = None
            if effect.step is not None:
                step = effect.step
            elif effect.intended and effects == "unkeyed":
                step = await self._doubted(effect, value)
            else:
                step, error = await self._live(effect, call, effects)
            if step.identity != effect.identity:  # another process did something else here: its outcome is none of this
                await self._gate.closed()
            match step.end:
                case "done":
                    try:
                        return parse(step.output)
                    except ValidationError:
                        what = f"{effect.identity}, with an output of another type"
                        await self._recorder.break_off(JournalMismatch(effect.position, what, str(effect.identity)))
                case "failed":
                    raised = _raised(step, error)
                    if not isinstance(raised, BudgetSpent) or self._edge is None:
                        raise raised
                    if not await self._edge.passed(self, kind, raised):
                        raise raised
                case "abandoned":  # as the first time: the handler gives it up
                    await asyncio.Event().wait()
                case "not_done":
                    pass

    async def observe(self, name: str, value: JsonValue, call: Callable[[], Awaitable[Any]]) -> JsonValue:
        """Read something that may be different another time, unless it is on record; it costs no write of its own."""
        await self._gate.passed()
        found = self._recorder.journal.observed(name, value)
        if found is not None:
            if found.failure is not None:
                raise found.failure.rebuilt()
            return found.output
        try:
            output = _checked(name, await call())
        except Exception as error:
            self._recorder.journal.observe(name, value, output=None, failure=EffectFailure.of(error))
            raise
        self._recorder.journal.observe(name, value, output=output, failure=None)
        return output

    async def ask(self, question: dict[str, JsonValue]) -> HumanAnswer:
        """Ask a person. Without an answer the attempt is parked, and this does not return.

        Args:
            question: fields of a `Question`, but for its place.

        Raises:
            QuestionExpired: nobody answered in time.
            TaskPermanent: it is no question.
        """
        try:
            Question.model_validate({**question, **self._place(0), "digest": ""})
        except ValidationError as error:
            raise TaskPermanent(f"that cannot be asked: {describe(error)}") from error
        effect = await self._recorder.begin("ask", "person", question)
        return HumanAnswer.of(await self._settlement(effect, question))

    async def _live(
        self, effect: Effect, call: Callable[[str], Awaitable[Any]], effects: Consequences
    ) -> tuple[Step, Exception | None]:
        with self._gate.in_flight():
            if effects != "none" and not effect.intended:
                reach("agent.step.before_intent")
                await self._recorder.intend(effect)
            if not self._recorder.journal.superseded:
                reach("agent.step.before_call")
                return await self._called(effect, call, effects)
        return await self._gate.closed()

    async def _called(
        self, effect: Effect, call: Callable[[str], Awaitable[Any]], effects: Consequences
    ) -> tuple[Step, Exception | None]:
        name = effect.identity.name
        try:
            output = _checked(name, await call(effect.key))
        except asyncio.CancelledError:
            if not self._gate.due.done():  # the handler's own doing: a replay must do the same
                await self._recorder.record(effect, end="abandoned")
            elif effects == "unkeyed":
                self.unsure.append(name)
            raise
        except Exception as error:  # noqa: BLE001 (whatever it raises is its outcome, and recorded as such)
            failure = EffectFailure.of(error)
            return await self._recorder.record(effect, end="failed", failure=failure), error
        return await self._recorder.record(effect, output=output), None

    async def _doubted(self, effect: Effect, value: JsonValue) -> Step:
        """The outcome of an effect that began, and cannot be done again without harm: only a person can find out whether it happened."""
        name = effect.identity.name
        question: dict[str, JsonValue] = {
            "kind": "approval",
            "text": f"Did {name!r} happen? The process that did it stopped before it could say.",
            "summary": "Approve if it happened: the task goes on without its result. Reject if it did not: it is done now.",
            "points": [_shown(value)],
        }
        answer = HumanAnswer.of(await self._settlement(effect, question))
        with self._gate.in_flight():
            return await self._recorder.record(effect, end="done" if answer.approved else "not_done")

    async def _settlement(self, effect: Effect, question: dict[str, JsonValue]) -> Settled:
        """How the question at this position is settled; without an answer the attempt is parked."""
        with self._gate.in_flight():
            if effect.step is None and not effect.intended:
                # With what was read for it: the question must be the same when the attempt goes on.
                effect.step = await self._recorder.record(effect)
            settled = self._settled.get(effect.position)
            if settled is None and not self._recorder.journal.superseded:
                place = self._place(effect.position)
                asked = Question.model_validate({**question, **place, "digest": effect.identity.digest})
                reach("agent.before_question")
                await self._recorder.keep(lambda: keep_trying(lambda: self._put(asked)))
                reach("agent.question_asked")
                self._gate.stop(Stop.PARKED)
        if settled is None:
            await self._gate.closed()
        if settled.digest != effect.identity.digest:
            recorded = f"a question with input {settled.digest[:12]}"
            await self._recorder.break_off(JournalMismatch(effect.position, recorded, str(effect.identity)))
        return settled

    def _place(self, position: int) -> dict[str, JsonValue]:
        key = self._key
        return {
            "id": question_id(key, position),
            "task": key.task,
            "attempt": key.attempt,
            "role": key.role,
            "position": position,
        }


def _checked(name: str, output: Any) -> JsonValue:
    try:
        return _JSON.validate_python(output)
    except ValidationError as error:
        raise TaskPermanent(f"{name!r} returned what JSON cannot say") from error


def _shown(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def _raised(step: Step, error: Exception | None) -> Exception:
    """What the effect raised: the same class of error from the record as when it happened."""
    again = step.failure.rebuilt() if step.failure is not None else TaskPermanent("a step failed without saying how")
    if error is not None and type(error) is type(again):
        return error
    again.__cause__ = error
    return again
