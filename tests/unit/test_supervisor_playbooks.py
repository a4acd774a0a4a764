"""Playbook files: what is wrong is said with file and line."""

from pathlib import Path

import pytest

from stretto.shared.contracts.ensemble import Ensemble
from stretto.supervisor.errors import PlaybookError, UnknownPlaybook
from stretto.supervisor.playbooks import Playbooks

GOOD = """\
name: translated
description: Answer in another language.
roles:
  translator: Translates a text.
tasks:
  - id: find
    role: researcher
    with: {angle: facts}
  - id: draft
    role: writer
    max_attempts: 3
    time_limit_s: 60
    inputs:
      findings: [find]
  - id: review
    role: reviewer
    inputs: {draft: draft, findings: [find]}
    revision: {task: draft, at_most: 1}
  - id: translate
    role: translator
    inputs:
      text: draft
      language: request.params.language
answer: translate
"""


def write(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_the_built_in_playbooks_are_there() -> None:
    assert Playbooks.load().names == ("brief", "digest")


def test_a_playbook_of_ones_own(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    playbook = Playbooks.load([tmp_path]).get("translated")
    plan = playbook.plan("named in the request")
    assert [task.id for task in plan.tasks] == ["find", "draft", "review", "translate"]
    assert plan.tasks[0].params == {"angle": "facts"}
    assert (plan.tasks[1].max_attempts, plan.tasks[1].time_limit_s) == (3, 60)
    assert (plan.playbook, plan.answer, plan.reason) == ("translated", "translate", "named in the request")
    assert playbook.roles == {"researcher", "writer", "reviewer", "translator"}


def test_a_task_may_ask_several_models(tmp_path: Path) -> None:
    several = '    ensemble: {models: ["a:1", "b:1"], choose: best_of}'
    write(tmp_path, GOOD.replace("    max_attempts: 3", several))
    plan = Playbooks.load([tmp_path]).get("translated").plan()
    assert plan.tasks[1].ensemble == Ensemble(models=("a:1", "b:1"), choose="best_of")
    assert plan.tasks[0].ensemble is None


def test_ones_own_replaces_the_built_in_of_the_same_name(tmp_path: Path) -> None:
    write(tmp_path, GOOD.replace("name: translated", "name: brief"))
    assert Playbooks.load([tmp_path]).default.description == "Answer in another language."


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownPlaybook, match="there is no playbook 'breif': use one of brief, digest"):
        Playbooks.load().get("breif")


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        ("role: researcher", "role: wizard", 7, "task find has the unknown role 'wizard'"),
        ("findings: [find]\n  - id: review", "findings: [lost]\n  - id: review", 14, "takes input from 'lost'"),
        ("with: {angle: facts}", "inputs: {angle: translate}", 6, "tasks wait for each other: find -> draft"),
        ("- id: draft", "- id: find", 9, "two tasks have the id 'find'"),
        ("answer: translate", "answer: nothing", 24, "the answer 'nothing' is no task of the plan"),
        ("answer: translate", "answer: draft", 19, "nothing uses the output of task translate"),
        ("with: {angle: facts}", "with: {colour: red}", 8, "task find has the input 'colour': researcher takes angle"),
        (
            "      findings: [find]\n",
            "      notes: find\n",
            9,
            "task draft lacks the input 'findings' that writer needs",
        ),
        ("    max_attempts: 3", "    attempts: 3", 11, "unknown field: tasks.1.attempts"),
        ("    max_attempts: 3", "    max_attempts: many", 11, "tasks.1.max_attempts: Input should be a valid integer"),
        (
            "    max_attempts: 3",
            "    ensemble: {models: [offline]}",
            11,
            "tasks.1.ensemble.models: Tuple should have at",
        ),
        ("    max_attempts: 3", "    ensemble: {models: [a, b], who: me}", 11, "unknown field: tasks.1.ensemble.who"),
        ("at_most: 1}", "at_most: 1, who: me}", 18, "unknown field: tasks.2.revision.who"),
        ("id: find", "id: Find It", 6, "tasks.0.id: use 1 to 64 of a-z, 0-9, _ and -"),
        ("id: find", "id: 7", 6, "tasks.0.id: Input should be a valid string"),
        ("    role: writer\n", "", 9, "missing field: tasks.1.role"),
        ("answer: translate\n", "", 1, "missing field: answer"),
        ("name: translated", "name: planner", 1, "the name 'planner' asks for the planner"),
        (
            "    role: writer\n",
            "    role: writer\n    role: reviewer\n",
            11,
            "the key 'role' stands here for the second time",
        ),
        ("tasks:\n", "tasks: [\n", 6, "no YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, old: str, new: str, line: int, problem: str) -> None:
    assert old in GOOD
    file = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(PlaybookError) as raised:
        Playbooks.load([tmp_path])
    assert (raised.value.file, raised.value.line) == (file, line)
    assert problem in raised.value.problem
    assert str(raised.value).startswith(f"{file}:{line}: ")


@pytest.mark.parametrize(
    "text", ["", "just words", "- a\n- list\n", "[" * 5_000, "name: 2026-99-99\n", "a: *nowhere\n"]
)
def test_what_is_no_playbook_at_all_is_said(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    with pytest.raises(PlaybookError) as raised:
        Playbooks.load([tmp_path])
    assert raised.value.line == 1


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlaybookError, match="cannot be read"):
        Playbooks.load([tmp_path])


def test_two_files_with_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "a.yaml")
    write(tmp_path, GOOD, "b.yml")
    with pytest.raises(PlaybookError, match=r"a\.yaml has the name 'translated' too"):
        Playbooks.load([tmp_path])


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(PlaybookError, match="there is no such folder"):
        Playbooks.load([tmp_path / "none"])
