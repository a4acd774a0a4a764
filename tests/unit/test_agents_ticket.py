"""A ticket for what goes to a person: what it says, and what the person is told of it."""

from collections.abc import Mapping
from typing import Any, cast

import pytest
from pydantic import JsonValue

from stretto.agents.context import TaskContext
from stretto.agents.ticket import with_ticket
from stretto.shared.contracts.escalation import Escalation
from stretto.shared.tools.errors import ToolUnavailable

MADE = Escalation(question="Shall we?", summary="It is open.", open_points=("Nobody knows.",))


class FakeContext:
    """A desk that answers as it is told, and keeps what it was sent."""

    def __init__(self, answer: JsonValue | Exception) -> None:
        self.tools = self
        self.sent: dict[str, Any] = {}
        self._answer = answer

    async def call(self, name: str, arguments: Mapping[str, JsonValue]) -> JsonValue:
        self.sent = {"tool": name, **arguments}
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    async def progress(self, text: str) -> None:
        self.sent["progress"] = text


async def open_with(answer: JsonValue | Exception, request: str = "May I?") -> tuple[Escalation, dict[str, Any]]:
    context = FakeContext(answer)
    return await with_ticket(MADE, request, cast("TaskContext", context)), context.sent


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ({"number": 7, "title": "t"}, "7"),
        ({"id": "T-9"}, "T-9"),
        ({"url": "https://desk/1"}, "https://desk/1"),
        ("T-3", "T-3"),
        ({}, "without a number"),
        (None, "without a number"),
    ],
)
async def test_the_ticket_is_named_as_the_desk_names_it(answer: JsonValue, name: str) -> None:
    made, sent = await open_with(answer)
    assert made.ticket == name
    assert made.summary == f"It is open. The ticket for it: {name}."
    assert (sent["tool"], sent["title"], sent["body"]) == ("ticket", "May I?", "It is open.\n\n- Nobody knows.")


async def test_a_desk_that_does_not_take_it_is_one_more_open_point() -> None:
    made, _ = await open_with(ToolUnavailable("the desk is closed"))
    assert made.open_points == ("Nobody knows.", "No ticket could be opened: the desk is closed")
    assert made.ticket == ""


async def test_a_long_request_is_cut_to_a_title() -> None:
    _, sent = await open_with({"number": 1}, request="word\n" * 500)
    assert len(sent["title"]) == 200
    assert "\n" not in sent["title"]
