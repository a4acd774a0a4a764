"""`stretto costs` on a bus with runs of several tenants: sums by what is asked for, and what nobody knows the price of."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stretto.bus.subjects import TaskKey
from stretto.shared.contracts.answer import TaskReport
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import TaskResult
from stretto.shared.contracts.usage import Usage
from tests.acceptance.command import Ran, Stretto
from tests.integration.ground import Ground, open_ground
from tests.integration.people import Runs

DEAR = Usage(model_calls=2, input_tokens=40_000, output_tokens=900, cost_usd=0.25)
CHEAP = Usage(model_calls=1, input_tokens=900, output_tokens=40, cost_usd=0.0000042)
UNPRICED = Usage(model_calls=1, input_tokens=700, output_tokens=70)
FREE = Usage(model_calls=1, input_tokens=10, output_tokens=10)


@dataclass
class Books:
    """A bus with runs whose ends are written by hand, and a person before a terminal. No supervisor runs there."""

    ground: Ground
    user: Stretto

    async def run(self, *words: str) -> Ran:
        return await asyncio.to_thread(self.user.run, "costs", *words)

    async def ended(self, run: str, *tasks: TaskReport, tenant: str = "default", playbook: str = "research") -> None:
        runs = Runs(self.ground, tenant)
        await runs.client.submit(Request(text="why?"), run=run)
        await runs.end(run, "completed", tasks=tasks, playbook=playbook)

    async def attempted(self, run: str, **fields: object) -> None:
        """A run that goes on, and the result of an attempt in it."""
        runs = Runs(self.ground)
        await runs.client.submit(Request(text="why?"), run=run)
        result = TaskResult.model_validate({"task": "t1", "attempt": 1, "role": "writer", "agent": "w-1", **fields})
        await runs.write(run, self.ground.subjects.result(TaskKey(runs.client.key(run), "writer", "t1", 1)), result)


def report(role: str, **by_model: Usage) -> TaskReport:
    named = {f"acme:{name}": usage for name, usage in by_model.items()}
    usage = sum(named.values(), Usage(tool_calls=1))
    return TaskReport(task=f"{role}-1", role=role, state="succeeded", usage=usage, by_model=named)


@pytest.fixture
async def books(nats_url: str, prefix: str, tmp_path: Path) -> AsyncGenerator[Books]:
    async with open_ground(nats_url, prefix, shards=4) as ground:
        yield Books(ground, Stretto(tmp_path).with_variables(nats_url=nats_url, prefix=prefix))


async def test_it_adds_up_by_what_is_asked_for(books: Books) -> None:
    await books.ended("run-1", report("researcher", big=DEAR), report("writer", small=CHEAP))
    await books.ended("run-2", report("writer", big=DEAR, small=CHEAP), playbook="quick")
    await books.ended("run-3", report("writer", big=DEAR), tenant="other")
    await books.attempted("run-4", usage=CHEAP, by_model={"acme:small": CHEAP}, models=("acme:small",))

    async def by(name: str, *more: str) -> dict[str, tuple[int, float]]:
        data = (await books.run("--by", name, "--json", *more)).data
        return {one["name"]: (one["runs"], round(one["cost_usd"], 9)) for one in data["by"][name]}

    tiny = 0.0000042
    assert await by("model") == {"acme:big": (2, 0.5), "acme:small": (3, round(3 * tiny, 9)), "(tools)": (2, 0)}
    assert await by("role") == {"researcher": (1, 0.25), "writer": (3, round(0.25 + 3 * tiny, 9))}
    assert await by("playbook") == {
        "research": (1, round(0.25 + tiny, 9)),
        "quick": (1, round(0.25 + tiny, 9)),
        "(not over yet)": (1, tiny),
    }
    assert await by("tenant") == {"default": (3, round(0.5 + 3 * tiny, 9)), "other": (1, 0.25)}
    assert await by("tenant", "--tenant", "other") == {"other": (1, 0.25)}
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert await by("day", "--since", "1h") == {today: (3, round(0.5 + 3 * tiny, 9))}
    assert await by("day", "--until", "1h") == {}

    overview = await books.run()
    assert overview.code == 0, overview.err
    assert overview.out.startswith("3 runs: $0.50 for 7 model calls")
    for word in (today, "acme:small", "$0.000013", "research", "writer"):
        assert word in overview.out
    assert "price" not in overview.err
    table = await books.run("--by", "model")
    assert "$0.000013" in next(line for line in table.out.splitlines() if "acme:small" in line)


async def test_a_model_without_a_price_is_named_with_what_to_add(books: Books) -> None:
    await books.ended("run-1", report("writer", odd=UNPRICED, big=DEAR))
    await books.ended("run-2", TaskReport(task="t", role="researcher", state="succeeded", usage=UNPRICED))
    await books.ended(
        "run-3", TaskReport(task="t", role="writer", state="succeeded", usage=FREE, by_model={"offline": FREE})
    )
    shown = await books.run("--by", "role")
    lines = {line.split()[0]: line for line in shown.out.splitlines() if line}
    assert "$0.25 + ?" in lines["writer"]
    assert "unknown price" in lines["researcher"]
    assert "Nobody knew the price of (not told), acme:odd" in shown.err
    assert '[prices."acme:odd"]' in shown.err
    data = (await books.run("--by", "model", "--json")).data
    assert data["total"]["unknown_prices"] == ["(not told)", "acme:odd"]
    assert {one["name"]: one["unknown_prices"] for one in data["by"]["model"]}["offline"] == []

    free = Books(books.ground, books.user.with_variables(prices='{"acme:*": {"input": 0, "output": 0}}'))
    assert (await free.run("--json")).data["total"]["unknown_prices"] == ["(not told)"]


async def test_nothing_spent_and_times_that_cannot_be_read_are_said(books: Books) -> None:
    nothing = await books.run()
    assert (nothing.code, nothing.out) == (0, "")
    assert "no run of tenant default has spent anything" in nothing.err
    for option in ("--since", "--until"):
        wrong = await books.run(option, "yesterday-ish")
        assert wrong.code == 2
        assert f"{option[2:]} 'yesterday-ish' cannot be read" in wrong.err
    assert (await books.run("--since", "2026-02-02", "--until", "2026-02-01")).code == 2
