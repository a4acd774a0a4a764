"""ModelChain: a role's models, asked one after the other until one gives a reply that is good enough."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Generic, Protocol, cast

from stretto.bus.agent_card import ModelHealth
from stretto.shared.contracts.usage import Usage, UsageByModel, add_by_model
from stretto.shared.models.all_failed import all_failed, reason_of
from stretto.shared.models.breaker import Breakers
from stretto.shared.models.errors import (
    BadReply,
    CannotDo,
    ContextOverflow,
    ModelError,
    ModelUnavailable,
    NotConfigured,
    Refused,
    Truncated,
)
from stretto.shared.models.protocol import (
    CallsAsked,
    Document,
    Hop,
    Model,
    OnText,
    Output,
    Purse,
    Reply,
    Round,
    ToolModel,
    ToolSpec,
)
from stretto.shared.money.errors import MoneyError
from stretto.shared.telemetry.fallback import tell_fallback

__all__ = ["ModelChain", "OnHop"]

OnHop = Callable[[Hop], Awaitable[None]]
"""Is told of a model that is passed over, when it happens."""

_NEXT: Final = (ModelUnavailable, BadReply, Refused, Truncated, ContextOverflow, NotConfigured, CannotDo)
"""Another model may do better. What else is raised is a defect, or concerns money: no model could do better."""


class _Ask(Protocol[Output]):
    """Puts the question to one of the models."""

    async def __call__(self, model: Model) -> Reply[Output] | CallsAsked: ...


@dataclass(slots=True)
class _Course(Generic[Output]):
    """What has become of a question so far."""

    hops: list[Hop] = field(default_factory=list[Hop])
    errors: list[ModelError] = field(default_factory=list[ModelError])
    usage: Usage = Usage()  # noqa: RUF009 (it is frozen)
    best: tuple[Hop, Reply[Output]] | None = None


class ModelChain:
    """Itself a model, so that nobody needs to know how many there are.

    The next model is asked when one does not answer now, its circuit is open, its reply does not fit or is cut off, it declines, cannot do
    what is asked or is not set up, or is less sure than it must be. Of several replies that are not sure enough the surest wins. A budget
    that is spent ends the call: other models would spend from it too.

    Args:
        names: of the models, first choice first.
        open_model: opens a model by its name; NotConfigured where it lacks something. It is asked again at the next call then.
        breakers: shared by all chains of the process.
        confidence: how sure a reply must be, 0 to 1, where its model says how sure it is.
        on_hop: see `OnHop`.
        room_of: how many tokens may be sent to a model; None where nothing limits it.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        open_model: Callable[[str], Model],
        breakers: Breakers,
        confidence: float | None = None,
        on_hop: OnHop | None = None,
        room_of: Callable[[str], int | None] = lambda _: None,
    ) -> None:
        if not names:
            raise ValueError("a chain needs a model")
        self.names = tuple(dict.fromkeys(names))
        self._open_model = open_model
        self._breakers = breakers
        self._confidence = confidence
        self._on_hop = on_hop
        self._room_of = room_of

    @property
    def name(self) -> str:
        """The first choice's."""
        return self.names[0]

    @property
    def context_tokens(self) -> int | None:
        """How many tokens may be sent: as many as all of its models take."""
        return min((room for name in self.names if (room := self._room_of(name)) is not None), default=None)

    @property
    def health(self) -> tuple[ModelHealth, ...]:
        """How its models did lately in this process, in their order."""
        return tuple(self._breakers.of(name).health for name in self.names)

    def telling(self, on_hop: OnHop) -> "ModelChain":
        """The same chain for somebody who wants to know of hops."""
        return ModelChain(
            self.names,
            open_model=self._open_model,
            breakers=self._breakers,
            confidence=self._confidence,
            on_hop=on_hop,
            room_of=self._room_of,
        )

    async def generate(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document] = (),
        on_text: OnText | None = None,
        purse: Purse | None = None,
    ) -> Reply[Output]:
        """As `Model.generate`. `on_text` may get pieces from a model that is passed over later, and then all of the next one's.

        Raises:
            ModelError: none has a reply: see `all_failed`.
        """

        async def ask(model: Model) -> Reply[Output]:
            return await model.generate(
                output_type,
                instructions=instructions,
                question=question,
                documents=documents,
                on_text=on_text,
                purse=purse,
            )

        reply = await self._first(ask)
        return cast("Reply[Output]", reply)

    async def take_turn(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document] = (),
        tools: Sequence[ToolSpec],
        rounds: Sequence[Round] = (),
        on_text: OnText | None = None,
        purse: Purse | None = None,
    ) -> Reply[Output] | CallsAsked:
        """As `ToolModel.take_turn`, and `generate` here. Each turn begins with the first choice again. A model that knows no tools at all
        (`offline`) replies without them; where only its server knows none, the next one is asked.
        """

        async def ask(model: Model) -> Reply[Output] | CallsAsked:
            if not hasattr(model, "take_turn"):
                return await model.generate(
                    output_type,
                    instructions=instructions,
                    question=question,
                    documents=documents,
                    on_text=on_text,
                    purse=purse,
                )
            return await cast("ToolModel", model).take_turn(
                output_type,
                instructions=instructions,
                question=question,
                documents=documents,
                tools=tools,
                rounds=rounds,
                on_text=on_text,
                purse=purse,
            )

        return await self._first(ask)

    async def _first(self, ask: _Ask[Output]) -> Reply[Output] | CallsAsked:
        """The first answer that is good enough, or the best."""
        course = _Course[Output]()
        for name in self.names:
            try:
                # Nobody comes after the last one: what another call finds out about it is worth waiting for.
                patient = name == self.names[-1]
                answer = await self._breakers.of(name).call(partial(self._ask, name, ask), patient=patient)
            except _NEXT as error:
                course.errors.append(error)
                course.usage += error.usage
                await self._hop(course, Hop(model=name, reason=reason_of(error), detail=str(error), usage=error.usage))
                continue
            except (ModelError, MoneyError) as error:
                error.by_model = _by_model(course, {name: error.usage})
                error.usage += course.usage
                raise
            course.usage += answer.usage
            if not isinstance(answer, Reply) or self._is_sure(answer):
                return replace(answer, usage=course.usage, hops=tuple(course.hops))
            least = self._confidence or 0.0
            detail = f"it is sure to {answer.confidence or 0.0:.2f}, and {least:.2f} is asked for"
            hop = Hop(model=name, reason="low_confidence", detail=detail, usage=answer.usage)
            if course.best is None or (answer.confidence or 0.0) > (course.best[1].confidence or 0.0):
                course.best = (hop, answer)
            await self._hop(course, hop)
        if course.best is None:
            failure = all_failed(course.errors, self.names, course.usage)
            failure.by_model = _by_model(course)
            raise failure
        own, best = course.best
        return replace(best, usage=course.usage, hops=tuple(hop for hop in course.hops if hop is not own))

    async def _ask(self, name: str, ask: _Ask[Output]) -> Reply[Output] | CallsAsked:
        return await ask(self._open_model(name))

    async def _hop(self, course: _Course[Output], hop: Hop) -> None:
        course.hops.append(hop)
        if hop.model == self.names[-1]:
            return
        tell_fallback(hop)
        if self._on_hop is not None:
            await self._on_hop(hop)

    def _is_sure(self, reply: Reply[Output]) -> bool:
        return self._confidence is None or reply.confidence is None or reply.confidence >= self._confidence


def _by_model(course: _Course[Output], *more: Mapping[str, Usage]) -> UsageByModel:
    return UsageByModel(parts=add_by_model([*({hop.model: hop.usage} for hop in course.hops), *more]))
