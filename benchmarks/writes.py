"""Writes: the synced writes and fsyncs of nats-server for one plan, counted with strace. Linux only; `python -m benchmarks.writes`."""

import asyncio
import re
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from benchmarks.comparison import server_process
from benchmarks.ours import OurRequester
from benchmarks.parts import running_parts
from benchmarks.raw import RawRequester, provision_raw
from stretto.bus.server import EmbeddedServer, ServerOptions

__all__: list[str] = []

_PLANS = 100
_ATTACHED = "attached"
_CALL = re.compile(r"(fsync|fdatasync|openat)\(")


async def _count(pid: int, plan: Callable[[], Awaitable[None]], trace: Path) -> Counter[str]:
    """What the process did in `_PLANS` plans, one after another: fsyncs, and files opened for synced writing."""
    strace = await asyncio.create_subprocess_exec(
        "strace",
        "-f",
        "-e",
        "trace=fsync,fdatasync,openat",
        "-o",
        trace,
        "-p",
        str(pid),
        stderr=asyncio.subprocess.PIPE,
    )
    assert strace.stderr is not None
    while _ATTACHED not in (await strace.stderr.readline()).decode():
        pass
    for _ in range(_PLANS):
        await plan()
    strace.send_signal(signal.SIGINT)
    await strace.communicate()
    return _synced(trace)


def _synced(trace: Path) -> Counter[str]:
    calls: Counter[str] = Counter()
    for line in trace.read_text().splitlines():
        found = _CALL.search(line)
        if found and (found[1] != "openat" or "O_SYNC" in line):
            calls["synced opens" if found[1] == "openat" else "fsyncs"] += 1
    return calls


async def _measure() -> None:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stretto-bench-")))
        server = await stack.enter_async_context(EmbeddedServer(ServerOptions(data_dir=folder / "data")))
        await provision_raw(server.url)
        stack.enter_context(running_parts(server.url))
        raw, ours = await RawRequester.open(server.url), await OurRequester.open(server.url)
        stack.push_async_callback(raw.close)
        stack.push_async_callback(ours.close)
        for name, plan in (("raw", raw.plan), ("ours", ours.plan)):
            await plan()
            calls = await _count(server_process().pid, plan, folder / name)
            shown = ", ".join(f"{what} {count / _PLANS:.1f}" for what, count in sorted(calls.items()))
            print(f"{name}, a plan: {shown}")


if __name__ == "__main__":
    if shutil.which("strace") is None:
        sys.exit("there is no strace here: install it (Debian, Ubuntu: apt install strace)")
    uvloop.run(_measure())
