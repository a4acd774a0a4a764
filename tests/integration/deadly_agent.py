"""An agent whose process dies of some tasks.

`python -m tests.integration.deadly_agent URL PREFIX ROLE INSTANCE TASK_LEASE_S MAX_DELIVER`
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from pydantic import BaseModel

from stretto.agents.context import TaskContext
from stretto.bus.streams import Deployment
from stretto.bus.subjects import Subjects
from tests.integration.world import Given, Made, agent_of, open_world

__all__ = ["POISON"]

POISON = "poison"


async def handle(task: Given, ctx: TaskContext) -> BaseModel:
    if task.request == POISON:
        os.kill(os.getpid(), signal.SIGKILL)
    return Made(text=f"{task.request} survived")


async def main(url: str, prefix: str, role: str, instance: str, task_lease_s: str, max_deliver: str) -> None:
    deployment = Deployment(
        subjects=Subjects(prefix), task_lease_s=float(task_lease_s), max_deliver=int(max_deliver), shards=2
    )
    async with open_world(url, deployment, Path()) as world:
        await (await world.serve(agent_of(role, handle), instance))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
