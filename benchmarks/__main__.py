"""The command: `python -m benchmarks [--quick] [--only ...] [--json]`."""

import argparse
import dataclasses
import json
import os
import sys

import psutil
import uvloop

from benchmarks.comparison import Figure, Rounds, compare
from benchmarks.load import Load

_FULL = Rounds(
    number=7, hops=Load(in_turn=200, at_once={64: 1_000}), plans=Load(in_turn=100, at_once={16: 300, 64: 400})
)
_QUICK = Rounds(number=5, hops=Load(in_turn=100, at_once={64: 400}), plans=Load(in_turn=50, at_once={16: 150, 64: 200}))
_SYNC = {"always": True, "default": False}


async def _measure(rounds: Rounds, only: list[str]) -> dict[str, list[Figure]]:
    found: dict[str, list[Figure]] = {}
    for name, sync_always in _SYNC.items():
        if name in only:
            found[name] = await compare(rounds, sync_always=sync_always, note=_note)
    return found


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show(title: str, figures: list[Figure]) -> None:
    print(f"\n{title}\n\n| | raw | ours | ratio | goal |\n|---|---|---|---|---|")
    for one in figures:
        print(f"| {one.name} | {one.raw:.2f} | {one.ours:.2f} | {one.ratio:.2f} | {_goal(one)} |")


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    reached = figure.ratio <= figure.goal if figure.less_is_better else figure.ratio >= figure.goal
    return f"{'≤' if figure.less_is_better else '≥'} {figure.goal:g}{'' if reached else ' missed'}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter rounds")
    parser.add_argument("--rounds", type=int, help="how many rounds")
    parser.add_argument("--only", action="append", choices=list(_SYNC), help="with this sync_interval only")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    options = parser.parse_args()
    rounds = _QUICK if options.quick else _FULL
    if options.rounds:
        rounds = dataclasses.replace(rounds, number=options.rounds)
    found = uvloop.run(_measure(rounds, options.only or list(_SYNC)))
    machine = {"cores": os.cpu_count(), "memory_gib": round(psutil.virtual_memory().total / 2**30)}
    if options.json:
        figures = {name: [dataclasses.asdict(one) for one in some] for name, some in found.items()}
        print(json.dumps({"machine": machine, **figures}, indent=2))
        return
    for name, some in found.items():
        _show(f"`sync_interval: {name}`, {machine['cores']} cores, {machine['memory_gib']} GiB", some)


if __name__ == "__main__":
    main()
