"""`stretto tools`: what is configured, and one call of it."""

import json
import sys
from pathlib import Path

import pytest

from tests.acceptance.command import Stretto

DESK = Path(__file__).parents[2] / "examples" / "desk"


@pytest.fixture
def user(tmp_path: Path) -> Stretto:
    command = json.dumps([sys.executable, "-m", "desk", str(tmp_path / "desk.db")])
    (tmp_path / "stretto.toml").write_text(
        f"""
[tools.desk]
kind = "mcp"
command = {command}
folder = "{DESK}"
tools = ["create_ticket", "list_tickets"]
roles = ["escalation"]
[tools.sum]
kind = "calculate"
roles = ["writer", "researcher"]
[tools.news]
kind = "publish"
folder = "out"
roles = ["writer"]
[tools.gone]
kind = "mcp"
command = ["no-such-program"]
roles = ["writer"]
""",
        encoding="utf-8",
    )
    return Stretto(tmp_path)


def test_the_list_says_who_may_use_what_and_what_is_away(user: Stretto) -> None:
    listed = user.run("tools", "list", "--json")
    assert listed.code == 1, "one is away"
    rows = {row["tool"]: row for row in listed.data["tools"]}
    assert {name: (row["kind"], row["effects"], row["reachable"]) for name, row in rows.items()} == {
        "desk_create_ticket": ("mcp", "keyed", True),
        "desk_list_tickets": ("mcp", "none", True),
        "sum": ("calculate", "none", True),
        "news": ("publish", "keyed", True),
        "gone": ("mcp", "", False),
    }
    assert rows["sum"]["roles"] == ["writer", "researcher"]
    assert "No such file" in rows["gone"]["problem"]


def test_a_call_with_consequences_is_asked_for_and_under_one_key_done_once(user: Stretto) -> None:
    arguments = '{"title": "Printer"}'
    refused = user.run("tools", "call", "desk_create_ticket", arguments, text="n\n")
    assert refused.code == 2
    assert "desk_create_ticket has consequences" in refused.err
    agreed = user.run("tools", "call", "desk_create_ticket", arguments, "--key", "k", text="y\n")
    assert (agreed.code, agreed.data["number"]) == (0, 1), agreed.err
    again = user.run("tools", "call", "desk_create_ticket", arguments, "--key", "k", "--yes", "--json")
    assert again.data["number"] == 1
    listed = user.run("tools", "call", "desk_list_tickets")
    assert [one["title"] for one in listed.data["tickets"]] == ["Printer"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("no_such",), 2, "there is no tool 'no_such': there is sum, news, desk_create_ticket, desk_list_tickets"),
        (("sum", "{"), 2, "the arguments are no JSON"),
        (("sum", "[1]"), 2, "no JSON object"),
        (("sum", '{"wrong": 1}'), 2, "the arguments do not fit sum"),
        (("news", '{"title": "t", "text": "<b>x</b>"}', "--yes"), 2, "write plain Markdown"),
    ],
)
def test_what_cannot_be_called_says_why(user: Stretto, words: tuple[str, ...], code: int, said: str) -> None:
    ran = user.run("tools", "call", *words)
    assert (ran.code, said in ran.err) == (code, True), ran.err
