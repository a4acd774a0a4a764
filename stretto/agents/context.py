"""TaskContext: through it an agent reaches everything it may touch."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Literal, overload

from pydantic import JsonValue

from stretto.agents.effects import Effects
from stretto.agents.ensemble import EnsembleModel
from stretto.agents.human_answer import HumanAnswer
from stretto.agents.live_text import LiveText
from stretto.agents.panel import Panel
from stretto.agents.step_memory import StepMemory
from stretto.agents.step_model import StepModel
from stretto.agents.toolbox import Toolbox
from stretto.bus.subjects import TaskKey
from stretto.shared.contracts.conversation import Conversation
from stretto.shared.memory.protocol import Memory
from stretto.shared.models.protocol import Model, Purse
from stretto.shared.tools.limits import AttemptTool
from stretto.shared.tools.protocol import Consequences, Tool

__all__ = ["TaskContext"]


async def _silent(_: str) -> None:
    return None


class TaskContext:
    """One attempt's surroundings.

    Every effect is recorded as soon as its outcome is known. When a process dies, the handler is run again from its start in another one,
    and what is recorded answers: so between its effects a handler must do the same each time it is run on the same task. Clocks, random
    numbers and whatever else it asks of the world belong into `step`. Branches of a handler may run side by side (`asyncio.gather`).

    Attributes:
        key: run, role, task and attempt.
        model: the language model of the role, or several that are asked side by side where the plan says so.
        memory: the shared memory, for this tenant and this request's documents.
        tools: the agent's tools.
        conversation: what was said in it before the run; the model is given that anyway. None where the run is part of none.
        deadline: when the attempt is cancelled; None for no limit of its own.
        progress: `await ctx.progress("reading 8 passages")` shows a line to whoever watches the run.
    """

    def __init__(
        self,
        *,
        key: TaskKey,
        effects: Effects,
        model: Model,
        memory: Memory,
        scope: Sequence[str] = (),
        tools: Sequence[Tool] = (),
        deadline: datetime | None = None,
        progress: Callable[[str], Awaitable[None]] = _silent,
        panel: Panel | None = None,
        purse: Purse | None = None,
        live: LiveText | None = None,
        conversation: Conversation | None = None,
    ) -> None:
        self.key = key
        self.tools = Toolbox(_of_attempt(tools, memory, scope), effects, purse=purse)
        self.model: StepModel | EnsembleModel = StepModel(
            model, effects, toolbox=self.tools, live=live, conversation=conversation
        )
        if panel is not None:
            members = [
                StepModel(one, effects, toolbox=self.tools, seat=seat, conversation=conversation)
                for seat, one in enumerate(panel.models)
            ]
            self.model = EnsembleModel(panel, effects, members=members, judge=StepModel(panel.judge, effects))
        self.memory = StepMemory(memory, effects, scope=scope, writer=key.role)
        self.deadline = deadline
        self.conversation = conversation
        self.progress = progress
        self._effects = effects

    @overload
    async def step(
        self,
        name: str,
        value: JsonValue,
        function: Callable[[], Awaitable[JsonValue]],
        *,
        effects: Literal["none", "unkeyed"] = "none",
    ) -> JsonValue: ...

    @overload
    async def step(
        self,
        name: str,
        value: JsonValue,
        function: Callable[[str], Awaitable[JsonValue]],
        *,
        effects: Literal["keyed"],
    ) -> JsonValue: ...

    async def step(
        self,
        name: str,
        value: JsonValue,
        function: Callable[..., Awaitable[JsonValue]],
        *,
        effects: Consequences = "none",
    ) -> JsonValue:
        """Do something of the agent's own, once; return what `function` returns, from the record if it was done before.

        Args:
            name: what it is, for people and for the record.
            value: all that its outcome depends on.
            function: does it; with `keyed` effects it is given the idempotency key, which another attempt at the task gives it too.
            effects: `none`, `keyed` or `unkeyed`: see `Tool.effects`.

        Raises:
            QuestionExpired: nobody knew in time whether an unkeyed call had happened.
            TaskPermanent: `value`, or what `function` returns, is nothing that JSON can say.
            Exception: whatever `function` raises; again, when the attempt is done again.
        """

        async def call(key: str) -> JsonValue:
            return await (function(key) if effects == "keyed" else function())

        def parse(output: JsonValue) -> JsonValue:
            return output

        return await self._effects.perform("step", name, value, call, parse, effects=effects)

    async def ask_human(
        self,
        text: str,
        *,
        kind: Literal["question", "approval"] = "question",
        summary: str = "",
        points: Sequence[str] = (),
        options: Sequence[str] = (),
        expires_in_s: float = 7 * 86_400.0,
    ) -> HumanAnswer:
        """Ask a person, and wait: for days, if need be. The agent is free meanwhile, and the handler is run again when there is an answer.

        Args:
            text: what the person has to decide, in one sentence.
            kind: `approval` takes approve or reject alone, `question` also an answer in words.
            summary: what was asked of the run, what was done and why a person is needed; points: what is open, one by one.
            options: what the person can choose.
            expires_in_s: how long it waits, by the server's clock.

        Raises:
            QuestionExpired: nobody answered in time.
            TaskPermanent: it cannot be asked (an empty or overlong text, or no time to answer).
        """
        return await self._effects.ask(
            {
                "kind": kind,
                "text": text,
                "summary": summary,
                "points": list(points),
                "options": list(options),
                "expires_in_s": expires_in_s,
            }
        )


def _of_attempt(tools: Sequence[Tool], memory: Memory, scope: Sequence[str]) -> list[Tool]:
    return [one.of_attempt(memory=memory, scope=scope) if isinstance(one, AttemptTool) else one for one in tools]
