"""`stretto inbox` on a bus where runs wait: what it shows, what it takes, and what it says when it is too late."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stretto.bus.server import EmbeddedServer, ServerOptions
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.plan import PlannedTask
from stretto.shared.contracts.retry import RetryPolicy
from tests.acceptance.command import Ran, Stretto
from tests.integration.ground import Ground, open_ground
from tests.integration.people import Runs


@dataclass
class Office:
    """A bus with hand-written runs that wait, and a person before a terminal. No supervisor runs there."""

    ground: Ground
    runs: Runs
    user: Stretto

    async def run(self, *words: str, text: str = "") -> Ran:
        """Run a command to its end."""
        return await asyncio.to_thread(self.user.run, *words, text=text)


@pytest.fixture
async def office(nats_url: str, prefix: str, tmp_path: Path) -> AsyncGenerator[Office]:
    async with open_ground(nats_url, prefix, shards=4) as ground:
        user = Stretto(tmp_path).with_variables(nats_url=nats_url, prefix=prefix, principal="bob")
        yield Office(ground, Runs(ground), user)


async def test_what_waits_is_listed_oldest_first(office: Office) -> None:
    nothing = await office.run("inbox", "list")
    assert (nothing.code, nothing.out, nothing.err) == (
        0,
        "",
        "stretto: nothing waits for a person of tenant default\n",
    )

    first, second = (
        await office.runs.ask("run-1", text="Blue\nor green?"),
        await office.runs.ask("run-2", kind="approval"),
    )
    listed = await office.run("inbox", "list")
    header, *lines = listed.out.splitlines()
    assert header.split()[:2] == ["question", "asked"]
    assert [line.split()[0] for line in lines] == [first, second]
    assert "Blue or green?" in lines[0]
    data = (await office.run("inbox", "list", "--json")).data
    assert [(one["id"], one["run"], one["kind"], one["state"]) for one in data["questions"]] == [
        (first, "run-1", "question", "open"),
        (second, "run-2", "approval", "open"),
    ]
    assert not data["more"]
    page = await office.run("inbox", "list", "--limit", "1", "--json")
    assert ([one["id"] for one in page.data["questions"]], page.data["more"]) == ([first], True)


async def test_a_question_is_shown_with_the_commands_that_settle_it(office: Office) -> None:
    asked = await office.runs.ask("run-1", text="Blue or green?")
    shown = await office.run("inbox", "show", asked[:8])

    assert shown.code == 0, shown.err
    assert "Blue or green?" in shown.out
    assert "run-1, task escalate, attempt 1" in shown.out
    for verb in ("approve", "answer", "reject"):
        assert f"stretto inbox {verb} {asked}" in shown.err
    data = (await office.run("inbox", "show", asked, "--json")).data
    assert (data["id"], data["text"], data["request"], data["state"]) == (asked, "Blue or green?", "why?", "open")


async def test_each_verb_is_taken_once_and_the_second_is_refused_with_the_first(office: Office) -> None:
    asked = await office.runs.ask("run-1")
    answered = await office.run("inbox", "answer", asked[:10], "-", text="Forty-two,\nI should say.\n")
    assert answered.code == 0, answered.err
    assert f"question {asked}: answered by bob at" in answered.err
    assert "run run-1 goes on; to wait for it: stretto runs wait run-1" in answered.err

    late = await office.run("inbox", "approve", asked, "--json")
    assert (late.code, late.data["error"]["kind"]) == (1, "QuestionSettled")
    assert "already settled: bob answered it at" in late.err
    assert "Forty-two, I should say." in late.err
    again = await office.run("inbox", "answer", asked, "Forty-two,\nI should say.", "--json")
    assert (again.code, again.data["question"]["settled"]["text"]) == (0, "Forty-two,\nI should say.")

    other = await office.runs.ask("run-2", kind="approval")
    rejected = await office.run("inbox", "reject", other, "--note", "not now", "--json")
    assert (rejected.code, rejected.data["question"]["state"], rejected.data["run"]) == (0, "rejected", None)
    assert rejected.data["question"]["settled"]["by"] == "bob"
    shown = await office.run("inbox", "show", other)
    assert "rejected by bob at" in shown.out
    assert "Decide with" not in shown.err
    assert (await office.run("inbox", "list", "--json")).data["questions"] == []


async def test_a_decision_that_comes_too_late_says_so(office: Office) -> None:
    expired, over = await office.runs.ask("run-1"), await office.runs.ask("run-2")
    await office.runs.expire("run-1", expired)
    await office.runs.end("run-2", "failed")

    for asked, kind, said in (
        (expired, "QuestionExpired", "expired at"),
        (over, "RunOver", "run run-2 is over (failed)"),
    ):
        late = await office.run("inbox", "approve", asked, "--json")
        assert (late.code, late.data["error"]["kind"]) == (1, kind)
        assert said in late.err


async def test_wrong_usage_says_what_would_be_right(office: Office) -> None:
    question, approval = await office.runs.ask("run-1"), await office.runs.ask("run-2", kind="approval")
    for words, said in (
        (("approve", "q-none"), "tenant default has no question q-none: see `stretto inbox list`"),
        (("approve", "q-"), "several questions begin with q-:"),
        (("answer", approval, "yes"), "asks for an approval: approve or reject it, it takes no answer"),
        (("answer", question, " "), "it is empty"),
        (("approve", question, "--tenant", "other"), "tenant other has no question"),
    ):
        ran = await office.run("inbox", *words)
        assert (ran.code, ran.out) == (2, "")
        assert said in " ".join(ran.err.replace("│", " ").split())
    assert len((await office.run("inbox", "list", "--json")).data["questions"]) == 2


async def test_what_a_question_says_does_not_speak_to_the_terminal(office: Office) -> None:
    asked = await office.runs.ask("run-1", text="\x1b]0;title\x07 and \x1b[2J?")
    for words in (("list",), ("show", asked)):
        ran = await office.run("inbox", *words)
        assert not set(ran.out + ran.err) & set("\x1b\x07")


async def test_runs_show_what_they_wait_for_and_are_cancelled(office: Office) -> None:
    asked = await office.runs.ask("run-1", text="Blue or green?")
    (run,) = (await office.run("runs", "list", "--json")).data["runs"]
    assert (run["state"], run["questions"]) == ("waiting", [asked])
    assert "waits for a person" in (await office.run("runs", "list")).out

    shown = await office.run("runs", "show", "run-1")
    assert f"asks a person (question {asked}): Blue or green?" in shown.out
    data = (await office.run("runs", "show", "run-1", "--json")).data
    assert [(one["id"], one["state"]) for one in data["questions"]] == [(asked, "open")]
    timed_out = await office.run("runs", "wait", "run-1", "--timeout", "0.5", "--json", "-q")
    assert (timed_out.code, timed_out.data["error"]["kind"]) == (3, "TimedOut")

    async with asyncio.TaskGroup() as group:
        cancelling = group.create_task(office.run("runs", "cancel", "run-1", "--reason", "too late"))
        async for event in office.runs.client.events("run-1"):
            if getattr(event, "subject", None) and event.envelope.type == Command.TYPE:
                await office.runs.end("run-1", "cancelled", reason="cancelled by bob: too late")
    cancelled = cancelling.result()
    assert cancelled.code == 0, cancelled.err
    assert "run run-1: cancelled by bob: too late" in cancelled.err
    assert "cost so far: 0 model calls, $0" in cancelled.err

    again = await office.run("runs", "cancel", "run-1")
    assert (again.code, "run run-1 is over already: cancelled" in again.err) == (1, True)
    unknown = await office.run("runs", "wait", "nope")
    assert (unknown.code, "nothing is known of run nope" in unknown.err) == (2, True)
    waited = await office.run("runs", "wait", "run-1", "--json", "-q")
    assert (waited.code, waited.data["state"]) == (1, "cancelled")


async def test_a_run_shows_when_it_tries_again(office: Office) -> None:
    task = PlannedTask(id="draft", role="scribe")
    await office.runs.plan("run-1", task, retries=RetryPolicy(delay_s=3_600, max_delay_s=3_600, jitter=0.0))
    await office.runs.fail("run-1", task)
    shown = await office.run("runs", "show", "run-1")

    assert "to be tried again" in shown.out
    assert "next try in 59 min" in shown.out
    (delayed,) = (await office.run("runs", "show", "run-1", "--json")).data["in_progress"]
    assert (delayed["task"], delayed["state"], delayed["attempt"]) == ("draft", "delayed", 2)
    assert delayed["next_try_at"]


async def test_where_only_other_agents_can_go_on_a_decision_waits_for_them(tmp_path: Path) -> None:
    user = Stretto(tmp_path)
    async with (
        EmbeddedServer(ServerOptions(data_dir=user.data_dir)) as server,
        open_ground(server.url, "stretto", shards=4) as ground,
    ):
        runs = Runs(ground)
        await runs.plan("run-1", PlannedTask(id="escalate", role="escalation"), PlannedTask(id="sign", role="signer"))
        asked = await runs.ask("run-1")
    approved = await asyncio.to_thread(user.run, "inbox", "approve", asked)
    assert (approved.code, approved.out) == (0, ""), approved.err
    where = f"run run-1 goes on when a system runs on {user.data_dir}: `stretto up`, with agents of yours for signer"
    assert where in approved.err

    cancelled = await asyncio.to_thread(user.run, "runs", "cancel", "run-1", "--json")
    assert (cancelled.code, cancelled.data) == (0, {"run": "run-1", "state": "open"}), cancelled.err
    assert f"run run-1 ends as soon as a system runs on {user.data_dir}: `stretto up`" in cancelled.err


async def test_without_a_bus_there_is_no_inbox(tmp_path: Path) -> None:
    user = Stretto(tmp_path).with_variables(nats_url="nats://127.0.0.1:9")
    ran = await asyncio.to_thread(user.run, "inbox", "list", "--json")

    assert (ran.code, ran.data["error"]["kind"]) == (3, "Unreachable")
    assert (await asyncio.to_thread(Stretto(tmp_path).run, "inbox", "list")).code == 3
