"""Inbox: what waits for a person."""

from datetime import UTC, datetime

from stretto.cli.output import write_json, write_table
from stretto.cli.question_view import (
    LIST_COLUMNS,
    list_row,
    question_data,
    question_lines,
    question_text,
    ways_to_settle,
)
from stretto.cli.running_system import open_log
from stretto.cli.standing import standing_of
from stretto.cli.terminal import say, show
from stretto.cli.work_view import work_text
from stretto.shared.requester import requester_on
from stretto.shared.settings import Settings

__all__ = ["list_questions", "show_question"]


async def list_questions(settings: Settings, *, limit: int, as_json: bool) -> int:
    """The open questions of the tenant, oldest first."""
    async with open_log(settings) as connection:
        found = await requester_on(connection, settings).questions(limit=limit + 1)
    questions, more = found[:limit], len(found) > limit
    if as_json:
        write_json({"questions": [question_data(one) for one in questions], "more": more})
        return 0
    now = datetime.now(UTC)
    if questions:
        write_table(LIST_COLUMNS, (list_row(one, now) for one in questions))
    else:
        say(f"stretto: nothing waits for a person of tenant {settings.tenant}")
    if more:
        say(f"stretto: there are more: --limit {10 * limit}")
    return 0


async def show_question(settings: Settings, question: str, *, as_json: bool) -> int:
    """One question with all that a person needs to decide it."""
    async with open_log(settings) as connection:
        asked = await requester_on(connection, settings).question(question)
        state = await standing_of(connection, settings, asked.run)
    request = state.request.request.text if state.request else ""
    task = next((task for task in state.tasks if task.id == asked.question.task), None)
    if as_json:
        write_json(question_data(asked) | {"request": request, "input": task.input if task else None})
        return 0
    write_table(("", ""), question_lines(asked, request, datetime.now(UTC)))
    show(f"\n{question_text(asked)}")
    if task is not None and (work := work_text(task, state.tasks)):
        show(f"\n{work}")
    if asked.is_open:
        say("\nDecide with one of:")
        for command in ways_to_settle(asked):
            say(f"    {command}")
    return 0
