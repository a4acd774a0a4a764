"""ModelChain: which model answers, which were passed over and why, and what it all took."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from stretto.shared.contracts.usage import Usage
from stretto.shared.models.breaker import Breakers
from stretto.shared.models.chain import ModelChain
from stretto.shared.models.errors import (
    BadReply,
    CannotDo,
    ContextOverflow,
    KeyMissing,
    ModelError,
    ModelUnavailable,
    NotConfigured,
    RateLimited,
    Refused,
    ScriptMismatch,
    TimedOut,
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
    ToolCall,
    ToolSpec,
)
from stretto.shared.money.errors import BudgetSpent, MoneyError, PriceUnknown

ONE = Usage(model_calls=1, input_tokens=10)


class Line(BaseModel):
    text: str


class Told:
    """Does as it is told: raises the error, or replies with its own name as sure as that. Each call costs ONE."""

    def __init__(self, name: str, does: ModelError | MoneyError | float | None) -> None:
        self.name = name
        self._does = does
        self.calls = 0

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
        self.calls += 1
        if isinstance(self._does, Exception):
            raise self._does
        output = output_type.model_validate({"text": self.name})
        return Reply(output=output, model=self.name, usage=ONE, confidence=self._does)


class Handy(Told):
    """Knows tools: asks for a call, or raises what it is told for tools."""

    def __init__(self, name: str, error: ModelError | None = None) -> None:
        super().__init__(name, None)
        self._error = error

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
        if self._error is not None:
            raise self._error
        return CallsAsked(calls=(ToolCall(id="1", name=tools[0].name, arguments={}),), model=self.name, usage=ONE)


def chain(*models: Told, confidence: float | None = None, breakers: Breakers | None = None) -> ModelChain:
    by_name: dict[str, Model] = {model.name: model for model in models}
    return ModelChain(
        [model.name for model in models],
        open_model=by_name.__getitem__,
        breakers=breakers or Breakers(),
        confidence=confidence,
    )


async def ask(chain: ModelChain) -> Reply[Line]:
    return await chain.generate(Line, instructions="say something")


@pytest.mark.parametrize(
    "error",
    [
        ModelUnavailable("away", usage=ONE),
        RateLimited("slower", usage=ONE),
        TimedOut("too long", usage=ONE),
        BadReply("unfit", usage=ONE),
        Refused("no", usage=ONE),
        Truncated("cut", usage=ONE),
        ContextOverflow("too much", usage=ONE),
        NotConfigured("nobody", usage=ONE),
        KeyMissing("no key", usage=ONE),
        CannotDo("never", usage=ONE),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_the_next_model_answers_and_what_the_first_one_took_is_counted(error: ModelError) -> None:
    reply = await ask(chain(Told("a:1", error), Told("b:1", None)))
    assert (reply.model, reply.output.text) == ("b:1", "b:1")
    assert reply.hops == (Hop(model="a:1", reason=type(error).__name__, detail=str(error), usage=ONE),)
    assert reply.usage == ONE + ONE


@pytest.mark.parametrize("error", [BudgetSpent("no more"), PriceUnknown("add a line"), ScriptMismatch("another line")])
async def test_no_other_model_is_asked_where_none_could_do_better(error: ModelError | MoneyError) -> None:
    other = Told("c:1", None)
    with pytest.raises(type(error)) as caught:
        await ask(chain(Told("a:1", BadReply("unfit", usage=ONE)), Told("b:1", error), other))
    assert caught.value is error
    assert caught.value.usage == ONE  # the first one's
    assert other.calls == 0


async def test_of_replies_that_are_not_sure_enough_the_surest_wins() -> None:
    models = (Told("a:1", 0.2), Told("b:1", 0.35), Told("c:1", Refused("no", usage=ONE)), Told("d:1", 0.3))
    reply = await ask(chain(*models, confidence=0.4))
    assert reply.model == "b:1"
    assert [(hop.model, hop.reason) for hop in reply.hops] == [
        ("a:1", "low_confidence"),
        ("c:1", "Refused"),
        ("d:1", "low_confidence"),
    ]
    assert reply.usage.model_calls == 4


async def test_who_is_sure_enough_or_does_not_say_is_taken() -> None:
    assert (await ask(chain(Told("a:1", 0.1), Told("b:1", 0.4), Told("c:1", 0.9), confidence=0.4))).model == "b:1"
    assert (await ask(chain(Told("a:1", None), Told("b:1", 0.9), confidence=0.4))).model == "a:1"


async def test_the_error_of_a_single_model_is_its_own() -> None:
    error = Refused("no", category="bio", usage=ONE)
    with pytest.raises(Refused) as caught:
        await ask(chain(Told("a:1", error)))
    assert caught.value is error


@pytest.mark.parametrize(
    ("errors", "kind", "retry_after_s"),
    [
        ([RateLimited("", retry_after_s=30), RateLimited("", retry_after_s=7), Refused("")], ModelUnavailable, 7),
        ([RateLimited("", retry_after_s=30), ModelUnavailable("")], ModelUnavailable, None),
        ([RateLimited("", retry_after_s=30), BadReply("")], ModelUnavailable, None),
        ([BadReply(""), BadReply("")], BadReply, None),
        ([BadReply(""), KeyMissing("")], BadReply, None),
        ([KeyMissing(""), NotConfigured("")], NotConfigured, None),
        ([KeyMissing(""), Refused("")], CannotDo, None),
        ([Refused(""), Refused("")], Refused, None),
    ],
)
async def test_when_all_fail_one_error_tells_the_owner_of_retries_what_to_do(
    errors: list[ModelError], kind: type[ModelError], retry_after_s: float | None
) -> None:
    for error in errors:
        error.usage = ONE
    with pytest.raises(ModelError) as caught:
        await ask(chain(*(Told(f"m:{n}", error) for n, error in enumerate(errors))))
    assert type(caught.value) is kind
    assert getattr(caught.value, "retry_after_s", None) == retry_after_s
    assert caught.value.usage.model_calls == len(errors)
    for n, error in enumerate(errors):
        assert f"m:{n}: {type(error).__name__}" in str(caught.value)


async def test_a_model_that_cannot_be_opened_is_tried_again_at_the_next_call() -> None:
    opened: list[str] = []

    def open_model(name: str) -> Model:
        opened.append(name)
        if opened == ["a:1"]:
            raise KeyMissing("there is no key for a: set A_KEY")
        return Told(name, None)

    pair = ModelChain(["a:1", "b:1"], open_model=open_model, breakers=Breakers())
    assert (await ask(pair)).hops == (Hop(model="a:1", reason="KeyMissing", detail="there is no key for a: set A_KEY"),)
    before = pair.health[0]
    assert (await ask(pair)).model == "a:1"
    assert (before.state, pair.health[0].state) == ("unset", "ready")


async def test_tools_go_to_a_model_that_knows_them_and_offline_does_without() -> None:
    async def turn(chain: ModelChain) -> Reply[Line] | CallsAsked:
        return await chain.take_turn(Line, instructions="", tools=[ToolSpec("search", "", {"type": "object"})])

    asked = await turn(chain(Handy("a:1", CannotDo("no tools here", usage=ONE)), Handy("b:1"), Told("offline", None)))
    assert isinstance(asked, CallsAsked)
    assert (asked.model, asked.usage, asked.hops[0].reason) == ("b:1", ONE + ONE, "CannotDo")
    reply = await turn(chain(Handy("a:1", CannotDo("no tools here")), Told("offline", None)))
    assert isinstance(reply, Reply)
    assert reply.model == "offline"


async def test_whoever_watches_is_told_of_a_hop_when_it_happens_but_not_where_nobody_follows() -> None:
    told: list[str] = []

    async def on_hop(hop: Hop) -> None:
        told.append(hop.model)

    with pytest.raises(ModelUnavailable):
        await ask(chain(Told("a:1", BadReply("")), Told("b:1", ModelUnavailable(""))).telling(on_hop))
    assert told == ["a:1"]


_DOES = st.one_of(
    st.none(),
    st.floats(0, 1),
    st.sampled_from([ModelUnavailable, BadReply, Refused, NotConfigured, CannotDo]).map(
        lambda kind: kind("", usage=ONE)
    ),
)


@given(does=st.lists(_DOES, min_size=1, max_size=6), least=st.none() | st.floats(0, 1))
async def test_every_model_before_the_one_that_answers_is_named_and_paid_for(
    does: list[ModelError | float | None], least: float | None
) -> None:
    models = [Told(f"m:{n}", one) for n, one in enumerate(does)]
    if all(isinstance(one, ModelError) for one in does):
        with pytest.raises(ModelError) as caught:
            await ask(chain(*models, confidence=least))
        assert caught.value.usage.model_calls == len(does)
        return
    reply = await ask(chain(*models, confidence=least))
    asked = sum(model.calls for model in models)
    assert asked == reply.usage.model_calls
    assert [hop.model for hop in reply.hops] == [one.name for one in models[:asked] if one.name != reply.model]
    if asked < len(does):
        last = does[asked - 1]
        assert reply.model == models[asked - 1].name
        assert last is None or least is None or (isinstance(last, float) and last >= least)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at = 100.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)


async def test_a_model_with_an_open_circuit_is_passed_over_without_being_asked() -> None:
    clock = Clock()
    breakers = Breakers(clock=clock, now=clock.now)
    away, other = Told("a:1", ModelUnavailable("away")), Told("b:1", None)
    first, second = (chain(away, other, breakers=breakers) for _ in range(2))  # of two roles
    for one in (first, second, first):
        await ask(one)
    reply = await ask(second)
    assert away.calls == 3
    assert reply.hops[0].reason == "circuit_open"
    assert [one.state for one in second.health] == ["open", "ready"]
    assert second.health[0].last_failure == "ModelUnavailable"
    assert second.health[1].last_success_at == clock.now()
