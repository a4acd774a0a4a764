"""Following: a run is watched until it is over, or until it goes on only when a person has decided."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stretto.bus.connection import Connection
from stretto.bus.errors import TimedOut
from stretto.cli.progress_view import ProgressView
from stretto.cli.standing import standing_of, waits_for_people
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.question import Question
from stretto.shared.contracts.task import TaskResult
from stretto.shared.contracts.timer import TimerFired
from stretto.shared.questions import AskedQuestion
from stretto.shared.requester import Requester, requester_on
from stretto.shared.settings import Settings

__all__ = ["Parked", "follow"]

_GRACE_S: Final = 15.0
"""A supervisor ends a run at its deadline; who waits, waits a little longer."""


@dataclass(frozen=True, slots=True)
class Parked:
    """A run that waits for people.

    Attributes:
        questions: what they have to decide; none is settled.
    """

    run: str
    questions: Sequence[AskedQuestion]


async def follow(
    connection: Connection, settings: Settings, run: str, view: ProgressView, *, limit_s: float
) -> Answer | Parked:
    """Watch the run until it is over, or parked.

    `limit_s` is how long it may take by itself: the time that people take does not count.

    Raises:
        TimedOut: nothing has come of it within the limit and a little.
    """
    requester = requester_on(connection, settings)
    limit_s += _GRACE_S
    clock = asyncio.get_running_loop().time
    asking = False
    try:
        async with asyncio.timeout(limit_s) as limit, contextlib.aclosing(requester.events(run)) as events:
            async for event in events:
                view.event(event)
                match event.message:
                    case Answer() as answer:
                        return answer
                    case Question() | Command():
                        asking = True
                        limit.reschedule(clock() + limit_s)
                    case TaskResult() | TimerFired():
                        pass
                    case _:
                        continue
                if asking and (questions := await _waited_for(connection, settings, requester, run)):
                    return Parked(run, questions)
    except TimeoutError as error:
        raise TimedOut(f"run {run} has no answer after {limit_s:g} s: is a supervisor running?") from error
    return await requester.result(run, timeout_s=_GRACE_S)


async def _waited_for(
    connection: Connection, settings: Settings, requester: Requester, run: str
) -> list[AskedQuestion]:
    """The open questions of a run that goes on with none of its tasks before one of them is settled."""
    questions = [one for one in await requester.questions_of(run) if one.is_open]
    return questions if questions and waits_for_people(await standing_of(connection, settings, run)) else []
