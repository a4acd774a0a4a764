"""Parts: the processes of both systems, and the CPU time that each of them takes. Run as a module it is one of them."""

import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager

import psutil
import uvloop

from benchmarks.ours import supervise_ours, work_ours
from benchmarks.raw import plan_raw, work_raw

__all__ = ["PARTS", "Cpu", "running_parts"]

PARTS: dict[str, Callable[[str], Coroutine[None, None, None]]] = {
    "raw-planner": plan_raw,
    "raw-workers": work_raw,
    "ours-supervisor": supervise_ours,
    "ours-workers": work_ours,
}


@contextmanager
def running_parts(url: str) -> Iterator[dict[str, psutil.Process]]:
    """The processes of both systems, by name; stopped at the end."""
    started = {name: subprocess.Popen([sys.executable, "-m", "benchmarks.parts", name, url]) for name in PARTS}
    try:
        yield {name: psutil.Process(process.pid) for name, process in started.items()}
    finally:
        for process in started.values():
            process.terminate()
        for process in started.values():
            process.wait()


class Cpu:
    """CPU time that processes have taken since this was made."""

    def __init__(self, processes: dict[str, psutil.Process]) -> None:
        self._processes = processes
        self._before_s = {name: _taken_s(process) for name, process in processes.items()}

    def taken_ms(self) -> dict[str, float]:
        return {name: (_taken_s(process) - self._before_s[name]) * 1_000 for name, process in self._processes.items()}


def _taken_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    uvloop.run(PARTS[sys.argv[1]](sys.argv[2]))
