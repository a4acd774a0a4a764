"""DraftView: of a reply that is being written people see its prose, whatever part of the JSON has come."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.bus.message import Message
from stretto.cli.draft_view import DraftView, readable
from stretto.cli.plan_view import PlanView
from stretto.shared.contracts.progress import Progress
from stretto.shared.contracts.task import TaskResult
from stretto.shared.requester import Event

WHOLE = json.dumps(
    {"claims": [{"text": 'He said "30 days".\nÜbrigens: yes.', "ids": ["f-1"]}], "summary": "All is well."}
)


def event(message: Message) -> Event:
    return Event(message, "writer-1", datetime(2026, 1, 1, tzinfo=UTC))


def text(piece: str, *, reply: int = 1, task: str = "draft") -> Event:
    return event(Progress(kind="text", role="writer", task=task, agent="writer-1", text=piece, reply=reply))


def test_keys_ids_and_marks_are_left_out() -> None:
    assert readable(WHOLE) == 'He said "30 days".\nÜbrigens: yes.\nAll is well.'


@pytest.mark.parametrize("cut", range(len(WHOLE)))
def test_what_has_come_so_far_is_the_beginning_of_the_whole(cut: int) -> None:
    assert readable(WHOLE).startswith(readable(WHOLE[:cut]))


@given(st.text(max_size=200))
def test_anything_can_be_written(written: str) -> None:
    readable("{" + written)


def test_words_before_a_call_of_a_tool_are_shown_as_they_are() -> None:
    assert readable("Let me look.") == "Let me look."


def test_a_new_reply_takes_the_place_of_the_one_before() -> None:
    view = DraftView()
    view.take(text('{"text": "One two'))
    view.take(text(' three"'))
    assert list(view.lines()) == ["draft: One two three"]
    view.take(text('{"text": "Four five', reply=2))
    assert list(view.lines()) == ["draft: Four five"]


def test_the_end_of_a_long_text_is_shown_and_nothing_of_a_done_task() -> None:
    view = DraftView()
    view.take(text("word " * 1_000 + "end"))
    (line,) = view.lines()
    assert line.startswith("draft: …")
    assert line.endswith("word end")
    assert len(line) < 300
    view.take(event(TaskResult(task="draft", attempt=1, role="writer", agent="writer-1", output={})))
    assert list(view.lines()) == []


def test_it_cannot_move_the_cursor() -> None:
    view = DraftView()
    view.take(text("red \x1b[31m alert"))
    (line,) = view.lines()
    assert "\x1b" not in line


def test_lines_do_not_tell_of_pieces_of_text() -> None:
    plan = PlanView()
    assert plan.take(text('{"text": "One two')) is None
    assert plan.tasks["draft"].state == "working"
