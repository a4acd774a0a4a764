"""An agent that fails, and lets what it was asked slip into all that a process may say, for tests of logs."""

import asyncio
import gc
import logging
import threading
import warnings

from pydantic import BaseModel

from stretto.agents import Agent, TaskContext

__all__ = ["Stumbler"]


class Note(BaseModel):
    """What the agent takes and gives."""

    request: str = ""


class Stumbler(Agent[Note, Note]):
    """Fails in each way in which something may be said of it."""

    role = "stumbler"
    description = "fails"

    async def handle(self, task: Note, ctx: TaskContext) -> Note:
        def fail() -> None:
            raise ValueError(task.request)

        async def fail_alone() -> None:
            fail()

        thread = threading.Thread(target=fail)
        thread.start()
        await asyncio.to_thread(thread.join)
        lost = asyncio.ensure_future(fail_alone())
        await asyncio.wait({lost})
        del lost
        gc.collect()
        warnings.warn(task.request, UserWarning, stacklevel=1)
        logging.getLogger("httpx2").info("POST %s", task.request)
        try:
            fail()
        except ValueError as error:
            raise RuntimeError(f"cannot read {task.request}") from error
        return task
