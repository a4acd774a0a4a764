"""Comparison: the same load on both systems, round after round, in an order that alternates."""

import os
import statistics
import tempfile
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.load import Load, put_on
from benchmarks.ours import OurRequester
from benchmarks.parts import Cpu, running_parts
from benchmarks.raw import RawRequester, provision_raw
from stretto.bus.server import EmbeddedServer, ServerOptions

__all__ = ["Figure", "Rounds", "compare", "server_process"]

_WARM_UP = Load(in_turn=20, at_once={16: 64})


@dataclass(frozen=True, slots=True)
class Rounds:
    """How many rounds, and the loads of each."""

    number: int
    hops: Load
    plans: Load


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing: the medians over all rounds, and that of the rounds' ratios (ours to raw).

    Attributes:
        goal: what the ratio is to reach: at most where less is better, else at least; None for what has no goal.
    """

    name: str
    raw: float
    ours: float
    ratio: float
    goal: float | None = None
    less_is_better: bool = True


_GOALS = {
    (True, "hop p50 ms"): 1.5,
    (True, "hops/s, 64 in flight"): 0.5,
    (False, "hop p50 ms"): 1.5,
    (False, "hops/s, 64 in flight"): 0.5,
    (True, "plan p50 ms"): 1.7,
    (True, "plans/s, 16 in flight"): 0.7,
    (True, "plans/s, 64 in flight"): 0.7,
    (False, "plan p50 ms"): 2.0,
    (False, "plans/s, 16 in flight"): 0.4,
    (False, "plans/s, 64 in flight"): 0.4,
}


async def compare(rounds: Rounds, *, sync_always: bool, note: Callable[[str], None]) -> list[Figure]:
    """Measure hops and plans on one server."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stretto-bench-")))
        server = await stack.enter_async_context(
            EmbeddedServer(ServerOptions(data_dir=folder, sync_always=sync_always))
        )
        await provision_raw(server.url)
        parts = stack.enter_context(running_parts(server.url))
        raw, ours = await RawRequester.open(server.url), await OurRequester.open(server.url)
        stack.push_async_callback(raw.close)
        stack.push_async_callback(ours.close)
        processes = parts | {"server": server_process(), "requester": psutil.Process()}
        samples: dict[str, dict[str, list[float]]] = {"raw": {}, "ours": {}}
        systems = (("raw", raw.hop, raw.plan), ("ours", ours.hop, ours.plan))
        for _, hop, plan in systems:
            await put_on(hop, _WARM_UP)
            await put_on(plan, _WARM_UP)
        for number in range(rounds.number):
            note(f"round {number + 1} of {rounds.number}")
            for name, hop, plan in systems if number % 2 else reversed(systems):
                found = samples[name]
                taken = await put_on(hop, rounds.hops)
                _add(found, "hop p50 ms", taken.p50_ms)
                for in_flight, per_s in taken.per_s.items():
                    _add(found, f"hops/s, {in_flight} in flight", per_s)
                cpu = Cpu(processes)
                taken = await put_on(plan, rounds.plans)
                _add(found, "plan p50 ms", taken.p50_ms)
                for in_flight, per_s in taken.per_s.items():
                    _add(found, f"plans/s, {in_flight} in flight", per_s)
                _add_cpu(found, name, cpu.taken_ms(), rounds.plans.times)
        return _figures(samples, sync_always=sync_always)


def server_process() -> psutil.Process:
    """The one nats-server that this process started."""
    [server] = [one for one in psutil.Process(os.getpid()).children(recursive=True) if "nats-server" in one.name()]
    return server


def _add(found: dict[str, list[float]], name: str, value: float) -> None:
    found.setdefault(name, []).append(value)


def _add_cpu(found: dict[str, list[float]], system: str, taken_ms: dict[str, float], plans: int) -> None:
    own = {part.removeprefix(f"{system}-"): ms / plans for part, ms in taken_ms.items() if part.startswith(system)}
    planner = own.get("supervisor", own.get("planner", 0.0))
    _add(found, "CPU ms a plan, supervisor", planner)
    _add(found, "CPU ms a plan, workers", own["workers"])
    _add(found, "CPU ms a plan, requester", taken_ms["requester"] / plans)
    _add(found, "CPU ms a plan, server", taken_ms["server"] / plans)
    _add(found, "CPU ms a plan, all", sum(own.values()) + (taken_ms["requester"] + taken_ms["server"]) / plans)


def _figures(samples: dict[str, dict[str, list[float]]], *, sync_always: bool) -> list[Figure]:
    figures: list[Figure] = []
    for name, raw in samples["raw"].items():
        ours = samples["ours"][name]
        figures.append(
            Figure(
                name=name,
                raw=statistics.median(raw),
                ours=statistics.median(ours),
                ratio=statistics.median(_ratios(ours, raw)),
                goal=_GOALS.get((sync_always, name)),
                less_is_better="/s" not in name,
            )
        )
    return figures


def _ratios(ours: Iterable[float], raw: Iterable[float]) -> list[float]:
    return [one / other for one, other in zip(ours, raw, strict=True) if other]
