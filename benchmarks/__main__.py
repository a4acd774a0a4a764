"""The command: `python -m benchmarks [--quick] [--only PART] [--json]`."""

import argparse
import dataclasses
import json
import os
import sys

import psutil
import uvloop

from benchmarks.comparison import Figure, Rounds, compare
from benchmarks.load import Load
from benchmarks.startup import StartFigure, measure_startup

_FULL = Rounds(
    number=7, hops=Load(in_turn=200, at_once={64: 1_000}), plans=Load(in_turn=100, at_once={16: 300, 64: 400})
)
_QUICK = Rounds(number=5, hops=Load(in_turn=100, at_once={64: 400}), plans=Load(in_turn=50, at_once={16: 150, 64: 200}))
_STARTS = 5
_SYNC = {"always": True, "default": False}
_STARTUP = "startup"

_Found = dict[str, list[Figure] | list[StartFigure]]


async def _measure(rounds: Rounds, only: list[str]) -> _Found:
    found: _Found = {}
    for name, sync_always in _SYNC.items():
        if name in only:
            found[name] = await compare(rounds, sync_always=sync_always, note=_note)
    if _STARTUP in only:
        found[_STARTUP] = await measure_startup(_STARTS)
    return found


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show(part: str, figures: list[Figure] | list[StartFigure]) -> None:
    if part == _STARTUP:
        print("\n| startup | measured | goal |\n|---|---|---|")
    else:
        print(f"\n| `sync_interval: {part}` | raw | ours | ratio | goal |\n|---|---|---|---|---|")
    for one in figures:
        match one:
            case StartFigure(name, measured, goal):
                print(f"| {name} | {measured:.4g} | {_goal(measured, goal, less_is_better=True)} |")
            case Figure(name, raw, ours, ratio, goal, less_is_better):
                reached = "" if goal is None else _goal(ratio, goal, less_is_better=less_is_better)
                print(f"| {name} | {raw:.4g} | {ours:.4g} | {ratio:.2f} | {reached} |")


def _goal(measured: float, goal: float, *, less_is_better: bool) -> str:
    reached = measured <= goal if less_is_better else measured >= goal
    return f"{'≤' if less_is_better else '≥'} {goal:g}{'' if reached else ' missed'}"


def main() -> None:
    parts = [*_SYNC, _STARTUP]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Stretto beside plain nats-py.")
    parser.add_argument("--quick", action="store_true", help="shorter rounds")
    parser.add_argument("--rounds", type=int, help="how many rounds")
    parser.add_argument("--only", action="append", choices=parts, help="this part only (a sync_interval, or startup)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    options = parser.parse_args()
    rounds = _QUICK if options.quick else _FULL
    if options.rounds:
        rounds = dataclasses.replace(rounds, number=options.rounds)
    found = uvloop.run(_measure(rounds, options.only or parts))
    machine = {"cores": os.cpu_count(), "memory_gib": round(psutil.virtual_memory().total / 2**30)}
    if options.json:
        figures = {part: [dataclasses.asdict(one) for one in some] for part, some in found.items()}
        print(json.dumps({"machine": machine, **figures}, indent=2))
        return
    print(f"{machine['cores']} cores, {machine['memory_gib']} GiB")
    for part, some in found.items():
        _show(part, some)


if __name__ == "__main__":
    main()
