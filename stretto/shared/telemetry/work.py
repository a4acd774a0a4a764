"""work: what spans say of the work that they are a part of."""

from stretto.bus.conventions import ATTEMPT, GEN_AI_CONVERSATION_ID, RUN, SESSION_ID, TASK
from stretto.bus.work import current_work

__all__ = ["work_attributes"]


def work_attributes() -> dict[str, str | int]:
    """Of the run, task, attempt and conversation that are worked on here; nothing outside of all runs."""
    work = current_work()
    if work is None:
        return {}
    found: dict[str, str | int] = {RUN: work.run}
    if work.task:
        found |= {TASK: work.task, ATTEMPT: work.attempt}
    if work.conversation:
        found |= {GEN_AI_CONVERSATION_ID: work.conversation, SESSION_ID: work.conversation}
    return found
