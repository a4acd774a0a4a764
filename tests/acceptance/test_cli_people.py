"""A run that needs a person, from its question to its answer: real processes, every decision, and a restart of everything in between."""

import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance.command import Ran, Running, Stretto

FOR_A_PERSON = """
name: decide
description: hands everything to a person
tasks:
  - {id: decide, role: escalation}
answer: decide
"""
REVIEWED = """
name: reviewed
description: a text that the critic does not like
roles: {scribe: writes a text, critic: approves what says please}
tasks:
  - {id: draft, role: scribe, inputs: {text: request}}
  - id: review
    role: critic
    inputs: {draft: draft}
    revision: {task: draft, at_most: 0, then: escalate}
  - {id: escalate, role: escalation}
answer: draft
"""
SIGNED = """
name: signed
description: asks before it does something, for a moment
roles: {signer: asks for an approval}
tasks:
  - {id: sign, role: signer, inputs: {text: request}}
answer: sign
"""
TEAM = """
from pydantic import BaseModel

from stretto.agents import Agent, TaskContext
from stretto.shared.contracts.review import Review, ReviewNote


class Draft(BaseModel):
    text: str


class Text(BaseModel):
    text: str
    notes: Review | None = None


class Reviewed(BaseModel):
    draft: Draft


class Scribe(Agent[Text, Draft]):
    role = "scribe"
    description = "Writes a text."

    async def handle(self, task: Text, ctx: TaskContext) -> Draft:
        wanted = [note.problem for note in task.notes.notes] if task.notes else []
        return Draft(text=" ".join([task.text, *wanted]))


class Critic(Agent[Reviewed, Review]):
    role = "critic"
    description = "Approves what says please."

    async def handle(self, task: Reviewed, ctx: TaskContext) -> Review:
        if "please" in task.draft.text:
            return Review(verdict="approve")
        return Review(verdict="revise", notes=(ReviewNote(rule="style", problem="It does not say the word."),))


class Signer(Agent[Text, Draft]):
    role = "signer"
    description = "Asks for an approval."

    async def handle(self, task: Text, ctx: TaskContext) -> Draft:
        answer = await ctx.ask_human("Shall it be signed?", kind="approval", expires_in_s=float(task.text))
        return Draft(text=f"{answer.outcome} by {answer.principal}")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user")
    (folder / "playbooks").mkdir()
    for name, text in (("decide", FOR_A_PERSON), ("reviewed", REVIEWED), ("signed", SIGNED)):
        (folder / "playbooks" / f"{name}.yaml").write_text(text, encoding="utf-8")
    (folder / "team.py").write_text(TEAM, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def user(folder: Path) -> Stretto:
    return Stretto(folder).with_variables(playbooks='["playbooks"]', role_wait_s="60")


@pytest.fixture(scope="module")
def up(user: Stretto) -> Iterator[Running]:
    with user.start("up") as running:
        running.wait_for("ready")
        yield running


@pytest.fixture(scope="module")
def team(user: Stretto, up: Running) -> Iterator[None]:
    with (
        user.start("agent", "run", "team:Scribe"),
        user.start("agent", "run", "team:Critic"),
        user.start("agent", "run", "team:Signer"),
    ):
        yield


def ask(user: Stretto, text: str = "Go away", playbook: str = "reviewed") -> tuple[str, str]:
    """A run that waits for a person: its id, and that of its question."""
    ran = user.run("ask", text, "--playbook", playbook, "--json", "-q")
    assert (ran.code, ran.data["state"]) == (4, "waiting"), ran.err
    (question,) = ran.data["questions"]
    return ran.data["run"], question["id"]


def answer(user: Stretto, run: str) -> Ran:
    return user.run("runs", "wait", run, "--json", "-q")


# One command after the other, with nothing running between them


def test_a_question_waits_in_the_data_directory_and_its_answer_brings_the_run_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "decide.yaml").write_text(FOR_A_PERSON, encoding="utf-8")
    user = Stretto(tmp_path).with_variables(playbooks='["playbooks"]')
    asked = user.run("ask", "Shall we refund this?", "--playbook", "decide", "--run-id", "refund-1")
    assert asked.code == 4, asked.err
    assert asked.out.startswith("What should be the answer to: Shall we refund this?")
    (question,) = set(re.findall(r"stretto inbox approve (q-\w+)", asked.err))
    assert f'stretto inbox answer {question} "YOUR ANSWER"' in asked.err
    assert f"the run is kept in {user.data_dir}" in asked.err

    listed = user.run("inbox", "list")
    assert question in listed.out
    assert "run refund-1 has no answer yet" in user.run("runs", "wait", "refund-1").err.replace("\n", " ")

    decided = user.run("inbox", "answer", question, "Yes, in full.")
    assert (decided.code, decided.out) == (0, "Yes, in full.\n"), decided.err
    assert f"question {question}: answered by local" in decided.err
    again = user.run("ask", "Shall we refund this?", "--playbook", "decide", "--run-id", "refund-1", "--json", "-q")
    assert (again.code, again.data["state"], again.data["text"]) == (0, "completed", "Yes, in full.")
    assert again.data["escalation"]["decision"] == "replace"
    assert again.data["escalation"]["decided_by"] == "local"


def test_a_decision_may_be_left_to_a_system_that_comes_later(tmp_path: Path) -> None:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "decide.yaml").write_text(FOR_A_PERSON, encoding="utf-8")
    user = Stretto(tmp_path).with_variables(playbooks='["playbooks"]')
    run, question = ask(user, "Shall we?", "decide")
    decided = user.run("inbox", "answer", question, "We shall.", "--no-wait", "--json")
    assert (decided.code, decided.data["run"], decided.data["question"]["state"]) == (0, None, "answered")
    assert f"run {run} goes on when a system runs on {user.data_dir}: `stretto up`" in decided.err

    with user.start("up") as up:
        up.wait_for("stretto is up")
        waited = answer(user, run)
    assert (waited.code, waited.data["text"]) == (0, "We shall.")


# With a system that is up


def test_an_approved_draft_is_the_answer(user: Stretto, team: None) -> None:
    run, question = ask(user)
    shown = user.run("inbox", "show", question)
    assert "The draft:\nGo away" in shown.out
    assert "It does not say the word." in shown.out
    assert user.run("status", "--json").data["open_questions"] == 1
    assert user.run("inbox", "approve", question).code == 0

    waited = answer(user, run)
    assert (waited.code, waited.data["state"], waited.data["text"]) == (0, "completed", "Go away")
    assert waited.data["escalation"]["decision"] == "accept"
    assert user.run("runs", "show", run, "--json").data["questions"][0]["state"] == "approved"


def test_a_persons_words_are_the_answer(user: Stretto, team: None) -> None:
    run, question = ask(user)
    assert user.run("inbox", "answer", question, "-", text="Come in.\n").code == 0

    assert answer(user, run).data["text"] == "Come in."


def test_a_rejected_draft_is_revised_with_the_note(user: Stretto, team: None) -> None:
    run, question = ask(user)
    decided = user.run("inbox", "reject", question, "--note", "Say please.", "--wait", "--json", "-q")

    assert (decided.code, decided.data["question"]["state"]) == (0, "rejected")
    again = answer(user, run)
    assert (again.code, again.data["state"]) == (0, "completed"), again.err
    assert "please" in again.data["text"]


def test_a_draft_that_is_rejected_without_a_word_ends_the_run(user: Stretto, team: None) -> None:
    run, question = ask(user)
    decided = user.run("inbox", "reject", question, "--wait")

    assert decided.code == 0, "the decision was taken, whatever came of the run"
    ended = answer(user, run)
    assert (ended.code, ended.data["state"]) == (1, "failed")
    assert "local" in ended.data["reason"]


def test_the_second_decision_is_refused_and_names_the_first(user: Stretto, team: None) -> None:
    run, question = ask(user)
    assert user.with_variables(principal="ann").run("inbox", "approve", question, "--wait").code == 0
    second = user.with_variables(principal="bob").run("inbox", "reject", question)

    assert second.code == 1
    assert f"question {question} is already settled: ann approved it at" in second.err
    assert answer(user, run).data["escalation"]["decided_by"] == "ann"


def test_after_its_time_a_question_takes_no_decision_and_its_run_goes_on_without(user: Stretto, team: None) -> None:
    run, question = ask(user, "2", "signed")
    ended = answer(user, run)
    assert (ended.code, ended.data["state"]) == (1, "failed")
    late = user.run("inbox", "approve", question, "--json")

    assert (late.code, late.data["error"]["kind"]) == (1, "QuestionExpired")


def test_a_run_that_waits_can_be_cancelled(user: Stretto, team: None) -> None:
    run, question = ask(user)
    cancelled = user.run("runs", "cancel", run, "--reason", "no more")

    assert cancelled.code == 0, cancelled.err
    assert f"run {run}: cancelled by local: no more" in cancelled.err
    assert "withdrawn: escalate; cost so far: 1 model call, $0" in cancelled.err
    assert user.run("inbox", "approve", question).code == 1


@pytest.mark.slow
def test_a_question_outlives_everything_and_its_answer_finds_the_run(tmp_path: Path, folder: Path) -> None:
    user = Stretto(tmp_path).with_variables(playbooks=f'["{folder / "playbooks"}"]', role_wait_s="60")
    with user.start("up") as up:
        up.wait_for("ready")
        run, question = ask(user, "Shall we?", "decide")
        family = up.family()
        up.process.kill()
        for process in family:
            process.kill()
        psutil.wait_procs(family, timeout=20)
    with user.start("up") as up:
        up.wait_for("ready")
        assert [one["id"] for one in user.run("inbox", "list", "--json").data["questions"]] == [question]
        assert user.run("inbox", "answer", question, "We shall.").code == 0
        waited = answer(user, run)

    assert (waited.code, waited.data["text"]) == (0, "We shall.")
    assert waited.data["usage"]["model_calls"] == 1, "what was paid for before is not paid for again"
