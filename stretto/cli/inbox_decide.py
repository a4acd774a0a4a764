"""Inbox decide: a person's decision on a question, and what becomes of the run."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from stretto.bus.connection import Connection
from stretto.cli.agents import TEAM as TEAM_ROLES
from stretto.cli.ending import ending_data, show_ending, tell_ending
from stretto.cli.following import Parked, follow
from stretto.cli.output import write_json
from stretto.cli.progress_view import ProgressView, progress_view
from stretto.cli.question_view import how_it_stands, question_data
from stretto.cli.ready import OTHERS_WAIT_S, OWN_WAIT_S, wait_until_served
from stretto.cli.requester_tracing import trace_requester
from stretto.cli.running_system import open_log, running_url
from stretto.cli.standing import standing_of
from stretto.cli.system import MEMORY, TEAM, open_system
from stretto.cli.terminal import say
from stretto.shared.contracts.answer import Answer
from stretto.shared.inbox import Verb
from stretto.shared.questions import AskedQuestion
from stretto.shared.requester import Requester, requester_on
from stretto.shared.settings import Settings
from stretto.supervisor.roles import PLANNER

__all__ = ["decide"]

_OWN_ROLES: Final = frozenset({*TEAM_ROLES, PLANNER})
"""What a system serves that is started for one command."""


async def decide(
    settings: Settings, question: str, verb: Verb, text: str, *, wait: bool | None, as_json: bool, quiet: bool
) -> int:
    """Settle a question. The exit code is about that alone: how the run ends is said beside it.

    With `wait` the run is followed to its end or its next question. Without `wait` (None) it is if no system runs: then one is started
    for it. With False it goes on when a system does.

    Raises:
        DecisionRefused: the decision does not count.
    """
    alone = await running_url(settings) is None
    async with open_log(settings) as connection, trace_requester(settings, connection):
        asked = await _settle(requester_on(connection, settings), question, verb, text)
        state = await standing_of(connection, settings, asked.run)
    say(f"stretto: question {asked.question.id}: {how_it_stands(asked, datetime.now(UTC))}")
    missing = sorted({task.role for task in state.tasks} - _OWN_ROLES) if alone else []
    follows = wait if wait is not None else alone and not missing
    ended: tuple[bool, Answer | Parked] | None = None
    if follows:
        ended = await _follow(settings, asked.run, progress_view(quiet=quiet))
    if as_json:
        write_json({"question": question_data(asked), "run": ending_data(asked.run, ended[1]) if ended else None})
    elif ended is not None:
        show_ending(ended[1])
    if ended is not None:
        tell_ending(settings, asked.run, ended[1], own=ended[0])
    else:
        _tell_how_it_goes_on(settings, asked.run, alone=alone, missing=missing)
    return 0


async def _settle(requester: Requester, question: str, verb: Verb, text: str) -> AskedQuestion:
    match verb:
        case "answer":
            return await requester.answer(question, text)
        case "approve":
            return await requester.approve(question, text)
        case "reject":
            return await requester.reject(question, text)


async def _follow(settings: Settings, run: str, view: ProgressView) -> tuple[bool, Answer | Parked]:
    """Follow the run on the running system, or on one of our own; return whether it was one, and what came of the run."""
    with view:
        async with (
            open_system(settings, MEMORY, TEAM, on_start=view.step) as system,
            await Connection.open(settings.connection(system.url, name="inbox")) as connection,
        ):
            parts = ("memory", *TEAM_ROLES) if system.own else ()
            wait_s = OWN_WAIT_S if system.own else OTHERS_WAIT_S
            await wait_until_served(connection, settings.deployment.subjects, "supervisor", *parts, timeout_s=wait_s)
            return system.own, await follow(connection, settings, run, view, limit_s=settings.run_deadline_s)


def _tell_how_it_goes_on(settings: Settings, run: str, *, alone: bool, missing: Sequence[str]) -> None:
    if not alone:
        say(f"stretto: run {run} goes on; to wait for it: stretto runs wait {run}")
        return
    agents = f", with agents of yours for {', '.join(missing)}" if missing else ""
    say(f"stretto: run {run} goes on when a system runs on {settings.data_dir}: `stretto up`{agents}")
