"""Models: what a call of a model costs beside the SDK alone, and how soon its first word is seen. `python -m benchmarks.models`."""

import asyncio
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import openai
import uvloop
from openai.types.chat import ChatCompletionMessageParam
from openai.types.shared_params import ResponseFormatJSONSchema
from pydantic import BaseModel

from stretto.agents import Agent, TaskContext
from stretto.agents.worker import Worker
from stretto.bus.artifacts import Artifacts
from stretto.bus.connection import Connection, ConnectionOptions
from stretto.bus.envelope import Envelope
from stretto.bus.provisioning import provision
from stretto.bus.rate import RateCounters
from stretto.bus.server import EmbeddedServer, ServerOptions
from stretto.bus.streams import Deployment, deployment_streams
from stretto.bus.subjects import RunKey, Subjects, TaskKey
from stretto.bus.task_queue import TaskQueue
from stretto.bus.wire import Wire
from stretto.shared.contracts.budget import Budget
from stretto.shared.contracts.progress import Progress
from stretto.shared.contracts.task import RunTask
from stretto.shared.memory.client import MemoryClient
from stretto.shared.models.breaker import Breakers
from stretto.shared.models.chain import ModelChain
from stretto.shared.models.provider_settings import ProviderSettings
from stretto.shared.models.providers import Providers
from stretto.shared.models.rate_limits import RateLimits
from stretto.shared.money.books import Books
from stretto.shared.money.price import Price
from stretto.shared.money.price_book import PriceBook
from stretto.shared.requester import connect
from stretto.shared.settings import Settings

__all__: list[str] = []

_CALLS = 100
_ROUNDS = 7
_DEPLOYMENT = Deployment(subjects=Subjects("models"))
_GENEROUS = Budget(usd=1_000.0, tokens=1_000_000_000, model_calls=1_000_000)
_LIMITS = {"requests_per_minute": 1_000_000, "tokens_per_minute": 1_000_000_000}


class _Text(BaseModel):
    text: str = ""


_MESSAGES: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "Write."},
    {"role": "user", "content": "Some words?"},
]
_FORMAT: ResponseFormatJSONSchema = {
    "type": "json_schema",
    "json_schema": {"name": "Text", "schema": _Text.model_json_schema(), "strict": True},
}


class _Measuring(Agent[_Text, _Text]):
    """Measures its own calls and bare ones, round after round, in an order that alternates.

    Attributes:
        taken_s: the median of each round, by what was called.
    """

    role = "measuring"
    description = "measures its own calls"

    def __init__(self, url: str) -> None:
        self._bare = openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0)
        self.taken_s: dict[str, list[float]] = {}
        self.done = asyncio.Event()

    async def handle(self, task: _Text, ctx: TaskContext) -> _Text:
        async def ours() -> None:
            await ctx.model.generate(_Text, instructions="Write.", question="Some words?")

        calls = (("bare", self._stream), ("bare, not streamed", self._whole), ("ours", ours))
        for number in range(_ROUNDS + 1):
            for name, call in calls if number % 2 else reversed(calls):
                taken_s = await _p50_s(call)
                if number:  # the first round warms up
                    self.taken_s.setdefault(name, []).append(taken_s)
        self.done.set()
        return _Text()

    async def _stream(self) -> None:
        chunks = await self._bare.chat.completions.create(
            model="m",
            messages=_MESSAGES,
            response_format=_FORMAT,
            stream=True,
            stream_options={"include_usage": True},
        )
        text = ""
        async for chunk in chunks:
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        _Text.model_validate_json(text)

    async def _whole(self) -> None:
        reply = await self._bare.chat.completions.create(model="m", messages=_MESSAGES, response_format=_FORMAT)
        _Text.model_validate_json(reply.choices[0].message.content or "")


async def _p50_s(call: Callable[[], Awaitable[None]]) -> float:
    taken: list[float] = []
    for _ in range(_CALLS):
        began = time.perf_counter()
        await call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


async def _watch(url: str, run: str, delays_ms: list[float]) -> None:
    """A requester: how long after the provider sent the first word of each reply it is here."""
    settings = Settings(prefix=_DEPLOYMENT.subjects.prefix, shards=_DEPLOYMENT.shards)
    async with connect(settings, url) as requester, aclosing(requester.events(run)) as events:
        async for event in events:
            if isinstance(event.message, Progress):
                sent = re.match(r'{"text": "(\d+) ', event.message.text)
                delays_ms += [(time.monotonic_ns() - int(sent[1])) / 1e6] if sent else []


async def _measure(*, sync_always: bool, limits: bool) -> tuple[dict[str, list[float]], list[float]]:
    """Seconds of each round by what was called, and the delays of first words.

    Args:
        limits: with a budget, and limits of the provider's rates.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stretto-bench-")))
        options = ServerOptions(data_dir=folder, sync_always=sync_always)
        server = await stack.enter_async_context(EmbeddedServer(options))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.model_server", stdout=asyncio.subprocess.PIPE
        )
        stack.callback(process.kill)
        assert process.stdout is not None
        url = f"http://127.0.0.1:{int(await process.stdout.readline())}/v1"
        connection = await stack.enter_async_context(await Connection.open(ConnectionOptions(server.url)))
        for spec in deployment_streams(_DEPLOYMENT):
            await provision(connection, spec)
        subjects = _DEPLOYMENT.subjects
        wire = Wire(artifacts=Artifacts(connection=connection, subjects=subjects))
        settings = {"local": ProviderSettings.model_validate({"base_url": url, **(_LIMITS if limits else {})})}
        prices = PriceBook({"local:m": Price(input=1.0, output=2.0)}, providers=settings)
        rates = RateLimits(providers=settings, shared=RateCounters(connection=connection, subjects=subjects))
        providers = await stack.enter_async_context(Providers(settings, environment={}, prices=prices, rates=rates))
        books = await stack.enter_async_context(
            Books(connection=connection, deployment=_DEPLOYMENT, wire=wire, sender="bench", prices=prices)
        )
        key = TaskKey(RunKey.of("default", f"run-{os.getpid()}", _DEPLOYMENT.shards), "measuring", "only", 1)
        task = RunTask(
            shard=key.run.shard,
            task=key.task,
            attempt=1,
            role=key.role,
            input={},
            budget=_GENEROUS if limits else None,
        )
        envelope = Envelope.of(task, tenant=key.run.tenant, run=key.run.run, sender="bench")
        await TaskQueue(connection=connection, deployment=_DEPLOYMENT, wire=wire).put(key, envelope)
        agent = _Measuring(url)
        worker = Worker(
            agent=agent,
            connection=connection,
            deployment=_DEPLOYMENT,
            wire=wire,
            model=ModelChain(["local:m"], open_model=providers.model, breakers=Breakers()),
            memory_of=lambda tenant: MemoryClient(
                connection=connection, subjects=subjects, wire=wire, tenant=tenant, sender="bench"
            ),
            purse_of=books.purse_of,
            instance="measuring-1",
        )
        delays_ms: list[float] = []
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(_watch(server.url, key.run.run, delays_ms))
            group.create_task(worker.run())
            await agent.done.wait()
            worker.stop()
            watching.cancel()
        return agent.taken_s, delays_ms


def _print(name: str, taken_s: dict[str, list[float]], delays_ms: list[float]) -> None:
    bare, whole, ours = (taken_s[one] for one in ("bare", "bare, not streamed", "ours"))
    over_ms = statistics.median(one - other for one, other in zip(ours, bare, strict=True)) * 1e3
    ratio = statistics.median(one / other for one, other in zip(ours, bare, strict=True))
    cells = [f"{statistics.median(one) * 1e3:.3g}" for one in (whole, bare, ours)]
    first = f"{statistics.median(delays_ms):.2g} ({statistics.quantiles(delays_ms, n=100)[98]:.2g})"
    print(f"| {name} | {' | '.join(cells)} | {over_ms:.2g} | {ratio:.2f} | {first} |", flush=True)


if __name__ == "__main__":
    print("| | bare, not streamed, ms | bare, ms | ours, ms | over bare, ms | ratio | first word, ms (p99) |")
    print("|---|---|---|---|---|---|---|")
    for sync, always in (("`sync_interval: always`", True), ("the server's default", False)):
        for what, limits in (("", False), (", budget and rate limits", True)):
            _print(f"{sync}{what}", *uvloop.run(_measure(sync_always=always, limits=limits)))
