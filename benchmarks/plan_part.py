"""A part of Stretto that carries out the plan, in a process of its own: `python -P FILE PART URL`.

It is run as a file, so that a tree of another time (first in PYTHONPATH) may be what is measured. Spans are recorded as in a process of
Stretto's, unless OTEL_SDK_DISABLED says otherwise, or that tree has none.
"""

import asyncio
import contextlib
import json
import sys
from typing import Final

import uvloop

from benchmarks.load import Load, put_on
from benchmarks.ours import OurRequester, supervise_ours, work_ours
from stretto.bus.connection import Connection, ConnectionOptions
from stretto.bus.subjects import Subjects

__all__ = ["REQUESTER", "SUPERVISOR", "WORKERS"]

SUPERVISOR, WORKERS, REQUESTER = "supervisor", "workers", "requester"
_PREFIX: Final = "bench"


async def _request(url: str) -> None:
    """Put on each load that stands in a line of JSON on stdin, and say what it took in one on stdout."""
    requester = await OurRequester.open(url)
    _say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        in_flight, times = json.loads(line)
        taken = await put_on(requester.plan, Load(in_turn=1, at_once={in_flight: times}))
        _say(json.dumps(taken.per_s[in_flight]))
    await requester.close()


def _say(text: str) -> None:
    print(text, flush=True)


async def _be(part: str, url: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        await _trace(stack, part, url)
        await {SUPERVISOR: supervise_ours, WORKERS: work_ours, REQUESTER: _request}[part](url)


async def _trace(stack: contextlib.AsyncExitStack, part: str, url: str) -> None:
    try:
        from stretto.shared.telemetry.process_tracing import leave_off, tracing_of
    except ImportError:  # a tree of before
        return
    tracing = tracing_of()
    if tracing is None:
        leave_off()
    else:
        connection = await stack.enter_async_context(await Connection.open(ConnectionOptions(url, wait_s=10)))
        opening = tracing.open(connection, subjects=Subjects(_PREFIX), service=part, instance=f"{part}-1")
        await stack.enter_async_context(opening)


if __name__ == "__main__":
    uvloop.run(_be(sys.argv[1], sys.argv[2]))
