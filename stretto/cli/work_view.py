"""Work view: what an agent had before it when it asked a person: the draft that is to be decided on."""

import json
from collections.abc import Sequence

from pydantic import JsonValue, ValidationError

from stretto.cli.answer_view import cited_text
from stretto.cli.terminal import printable
from stretto.shared.contracts.draft import Draft
from stretto.supervisor.citations import cite, read_findings
from stretto.supervisor.task_state import TaskState

__all__ = ["work_text"]


def work_text(task: TaskState, tasks: Sequence[TaskState]) -> str:
    """The last output that the task got to look at, with its sources; empty where it got none. `tasks` are all of the run's."""
    previous = (task.input or {}).get("previous")
    if not isinstance(previous, dict):
        return ""
    return f"The draft:\n{_draft(previous, tasks) or printable(_plain(previous))}"


def _draft(output: dict[str, JsonValue], tasks: Sequence[TaskState]) -> str:
    if not {"answered", "claims"} <= output.keys():
        return ""
    try:
        draft = Draft.model_validate(output)
    except ValidationError:  # a user's own agent whose output only looks alike
        return ""
    if not draft.claims:
        return printable(draft.gap or "It makes no claim.")
    cited = cite(draft, read_findings(tasks))
    return cited_text(cited.text, cited.citations)


def _plain(output: dict[str, JsonValue]) -> str:
    text = output.get("text")
    return text if isinstance(text, str) else json.dumps(output, ensure_ascii=False, indent=2)
