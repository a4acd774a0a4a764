"""An agent as a process of its own, which can be killed: it thinks twice and writes each thought into a file.

It is `python -m tests.integration.mortal_agent URL PREFIX FILE`.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from stretto.agents.context import TaskContext
from stretto.agents.worker import Worker
from stretto.bus import failpoints
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.protocol import Document, OnText, Output, Purse, Reply
from tests.integration.crew import Shout, Shouter, Words, no_memory
from tests.integration.ground import open_ground

__all__ = ["think"]


class FileModel:
    """Notes each call in a file that outlives the process."""

    name = "file"

    def __init__(self, file: Path) -> None:
        self._file = file

    async def generate(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document] = (),
        on_text: OnText | None = None,
        purse: Purse | None = None,
    ) -> Reply[Output]:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{question}\n")
        return Reply(output_type.model_validate({"text": f"{question}!"}), self.name, Usage(model_calls=1))


async def think(task: Words, ctx: TaskContext) -> Shout:
    """Two thoughts, the second one about the first."""
    first = (await ctx.model.generate(Shout, instructions="think", question="one")).output.text
    return (await ctx.model.generate(Shout, instructions="think", question=f"two after {first}")).output


async def _serve(url: str, prefix: str, file: str) -> None:
    failpoints.arm(os.environ)
    async with open_ground(url, prefix, task_lease_s=1.5) as ground:
        await Worker(
            agent=Shouter(think),
            connection=ground.connection,
            deployment=ground.deployment,
            wire=ground.wire,
            model=FileModel(Path(file)),
            memory_of=no_memory,
            instance="mortal",
        ).run()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
