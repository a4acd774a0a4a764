"""What is counted of runs, attempts, models, tools and budgets, and the figures of a deployment as gauges."""

import asyncio
from datetime import UTC, datetime

import pytest

from stretto.bus.work import Work, working_on
from stretto.shared.contracts.usage import Usage
from stretto.shared.figures import Figures, Queue, RoleFigures, RunFigures
from stretto.shared.models.breaker import Breakers
from stretto.shared.models.errors import ModelUnavailable
from stretto.shared.telemetry import counters
from stretto.shared.telemetry.breaker_gauge import tell_breakers
from stretto.shared.telemetry.deployment_gauges import DeploymentGauges
from tests.measures import measuring

WORK = Work(tenant="canary-tenant", run="canary-run", role="scribe", task="canary-task", attempt=1)
FIGURES = Figures(
    at=datetime.now(UTC),
    roles=(RoleFigures("scribe", 2, 8, 3, Queue(5, 3, 1, 12.5)), RoleFigures("supervisor", 1, 0, 4, None)),
    runs=RunFigures(open=9, in_flight=4, backlog=2, parked=3),
    dead_letters=6,
)


def test_an_attempt_is_counted_by_how_it_ended_and_a_later_one_as_a_retry() -> None:
    with measuring() as measured:
        with counters.counted_attempt("scribe", 1) as count:
            count("parked")
        with counters.counted_attempt("scribe", 2) as count:
            count("succeeded")
        with pytest.raises(KeyboardInterrupt), counters.counted_attempt("scribe", 3):
            raise KeyboardInterrupt
    ends = [(labels["stretto.outcome"], value) for labels, value in measured.numbers["stretto.tasks.attempts"]]
    assert sorted(ends) == [("parked", 1), ("shut_down", 1), ("succeeded", 1)]
    assert measured.numbers["stretto.tasks.retries"] == [({"stretto.role": "scribe"}, 2)]


def test_a_call_of_a_model_is_counted_for_the_role_that_made_it_and_for_no_run() -> None:
    usage = Usage(input_tokens=10, cached_input_tokens=4, output_tokens=3, cost_usd=0.5)
    with measuring() as measured, working_on(WORK):
        counters.model_called("local:test", usage)
        counters.model_called("local:test", Usage(), error="ModelUnavailable")
    who = {"stretto.role": "scribe", "gen_ai.request.model": "local:test"}
    assert measured.numbers["stretto.model.calls"] == [(who, 1), (who | {"error.type": "ModelUnavailable"}, 1)]
    tokens = {labels["gen_ai.token.type"]: value for labels, value in measured.numbers["stretto.model.tokens"]}
    assert tokens == {"input": 6, "cached": 4, "output": 3}
    assert measured.numbers["stretto.model.cost"] == [(who, 0.5)]
    assert "canary" not in str(measured.numbers)


def test_a_call_of_a_tool_is_counted_by_its_outcome() -> None:
    with measuring() as measured, working_on(WORK):
        with counters.counted_call("stamp"):
            pass
        with pytest.raises(ValueError, match="canary"), counters.counted_call("stamp"):
            raise ValueError("canary")
    who = {"stretto.role": "scribe", "gen_ai.tool.name": "stamp"}
    failed = {"stretto.outcome": "failed", "error.type": "ValueError"}
    assert measured.numbers["stretto.tool.calls"] == [(who | {"stretto.outcome": "done"}, 1), (who | failed, 1)]


async def test_a_breaker_that_opens_is_seen_and_one_that_never_does_is_left_out() -> None:
    breakers = Breakers()
    tell_breakers(breakers)

    async def fail() -> None:
        raise ModelUnavailable("canary")

    breakers.of("offline")
    for _ in range(3):
        with pytest.raises(ModelUnavailable):
            await breakers.of("local:away").call(fail)
    breakers.of("local:there")
    with measuring() as measured:
        pass
    states = {labels["gen_ai.request.model"]: value for labels, value in measured.numbers["stretto.model.breaker"]}
    assert states == {"local:away": 2, "local:there": 0}


class _Reader:
    """Gives the same figures, and says when."""

    def __init__(self) -> None:
        self.was_read = asyncio.Event()

    async def read(self) -> Figures:
        self.was_read.set()
        return FIGURES


@pytest.mark.parametrize("ours", [True, False])
async def test_the_figures_of_a_deployment_are_told_by_the_process_to_which_it_falls(ours: bool) -> None:
    reader, asked = _Reader(), asyncio.Event()

    def is_ours() -> bool:
        asked.set()
        return ours

    gauges = DeploymentGauges(figures=reader, is_ours=is_ours)
    with measuring() as measured:  # gauges are told where there is a provider, so they begin in the block
        telling = asyncio.ensure_future(gauges.run())
        await asked.wait()
        await asyncio.sleep(0)  # the figures are read in the same turn
    telling.cancel()
    await asyncio.wait({telling})
    depth = {labels["stretto.queue.state"]: value for labels, value in measured.numbers.get("stretto.queue.depth", [])}
    assert depth == ({"waiting": 5, "in_work": 3, "suspect": 1} if ours else {})
    assert measured.numbers.get("stretto.queue.age", []) == ([({"stretto.role": "scribe"}, 12.5)] if ours else [])
    runs = [measured.numbers.get(f"stretto.runs.{name}", []) for name in ("in_flight", "parked", "backlog")]
    assert runs == ([[({}, 4)], [({}, 3)], [({}, 2)]] if ours else [[], [], []])
    assert measured.numbers.get("stretto.dead_letters", []) == ([({}, 6)] if ours else [])
    assert reader.was_read.is_set() is ours
