"""What tracing costs: `python -m benchmarks.tracing [--rounds N] [--before TREE] [--sync always|default]`.

The five-task plan, with spans on the bus, with OTEL_SDK_DISABLED=true, and by the code of another tree, one from before there were spans:
`git worktree add TREE e737e8a`. Each has a server and processes of its own; they work in turn, round after round, in an order that
alternates.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil
import uvloop

from benchmarks import plan_part
from benchmarks.parts import Cpu
from benchmarks.plan_part import REQUESTER, SUPERVISOR, WORKERS
from stretto.bus.server import EmbeddedServer, ServerOptions

__all__ = ["Way", "measure"]

Way = tuple[Path, Mapping[str, str]]
"""To run the plan: a tree, and variables of the environment."""

_HERE: Final = Path(__file__).parents[1]
_LOADS: Final = {16: 150, 64: 250}
_GOALS: Final = {("on", "off"): 0.8, ("off", "before"): 0.97}


@dataclass
class _Variant:
    """One way to run the plan, and what was measured of it, by the name of the figure."""

    requester: subprocess.Popen[str]
    processes: Mapping[str, psutil.Process]
    found: dict[str, list[float]] = field(default_factory=dict)

    def work(self, in_flight: int, times: int) -> float:
        """Carry out so many plans; return how many a second."""
        assert self.requester.stdin is not None
        assert self.requester.stdout is not None
        self.requester.stdin.write(json.dumps([in_flight, times]) + "\n")
        self.requester.stdin.flush()
        return float(json.loads(self.requester.stdout.readline()))

    def measure(self) -> None:
        cpu = Cpu(dict(self.processes))
        for in_flight, times in _LOADS.items():
            self._add(f"plans/s, {in_flight} in flight", self.work(in_flight, times))
        plans = sum(_LOADS.values()) + len(_LOADS)  # each load begins with one alone
        taken = {part: ms / plans for part, ms in cpu.taken_ms().items()}
        for part, ms in {**taken, "all": sum(taken.values())}.items():
            self._add(f"CPU ms a plan, {part}", ms)

    def _add(self, name: str, value: float) -> None:
        self.found.setdefault(name, []).append(value)


async def measure(ways: Mapping[str, Way], *, rounds: int, sync_always: bool) -> dict[str, dict[str, list[float]]]:
    """What was measured in each round, by way and figure."""
    async with AsyncExitStack() as stack:
        variants = {
            name: await _start(stack, tree, variables, sync_always=sync_always)
            for name, (tree, variables) in ways.items()
        }
        for variant in variants.values():
            await asyncio.to_thread(variant.work, 16, 100)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
            for variant in list(variants.values())[:: 1 if number % 2 else -1]:
                await asyncio.to_thread(variant.measure)
        return {name: variant.found for name, variant in variants.items()}


async def _start(stack: AsyncExitStack, tree: Path, variables: Mapping[str, str], *, sync_always: bool) -> _Variant:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stretto-bench-")))
    known = _servers()
    server = await stack.enter_async_context(EmbeddedServer(ServerOptions(data_dir=folder, sync_always=sync_always)))
    processes = {"server": psutil.Process((_servers() - known).pop())}
    running = stack.enter_context(ExitStack())
    for part in (SUPERVISOR, WORKERS, REQUESTER):
        requester = _run(part, server.url, tree, variables)
        running.callback(_end, requester)
        processes[part] = psutil.Process(requester.pid)
    assert requester.stdout is not None
    said = await asyncio.to_thread(requester.stdout.readline)
    assert said == "ready\n", "the requester did not start: its error is above"
    return _Variant(requester, processes)


def _run(part: str, url: str, tree: Path, variables: Mapping[str, str]) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.Popen(
        [sys.executable, "-P", plan_part.__file__, part, url],
        cwd=tree,
        env={**clean, **variables, "PYTHONPATH": str(tree)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _servers() -> set[int]:
    return {one.pid for one in psutil.Process().children(recursive=True) if "nats-server" in one.name()}


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait()


def _show(found: dict[str, dict[str, list[float]]]) -> None:
    names = list(found["on"])
    pairs = [pair for pair in _GOALS if pair[1] in found]
    print("| |", " | ".join(found), "|", " | ".join(f"{one} to {other}" for one, other in pairs), "|")
    print("|---" * (1 + len(found) + len(pairs)) + "|")
    for name in names:
        medians = [f"{statistics.median(figures[name]):.4g}" for figures in found.values()]
        ratios = [_ratio(found[one][name], found[other][name]) for one, other in pairs]
        print("|", name, "|", " | ".join(medians), "|", " | ".join(ratios), "|")
    print("goals, of plans/s:", ", ".join(f"{one} to {other} ≥ {_GOALS[one, other]}" for one, other in pairs))


def _ratio(ones: list[float], others: list[float]) -> str:
    """The median of the rounds' ratios, and their least and greatest."""
    ratios = [one / other for one, other in zip(ones, others, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracing", description="Measure what tracing costs.")
    parser.add_argument("--rounds", type=int, default=7, help="how many rounds")
    parser.add_argument("--before", type=Path, help="a tree of the project from before there were spans")
    parser.add_argument("--sync", choices=["always", "default"], default="default", help="nats-server's sync_interval")
    options = parser.parse_args()
    ways: dict[str, Way] = {"on": (_HERE, {}), "off": (_HERE, {"OTEL_SDK_DISABLED": "true"})}
    if options.before:
        ways["before"] = (options.before.resolve(), {})
    _show(uvloop.run(measure(ways, rounds=options.rounds, sync_always=options.sync == "always")))


if __name__ == "__main__":
    main()
