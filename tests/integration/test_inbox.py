"""The inbox: what waits for a person is found, and decided once, whoever tries and whenever."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import pytest

from stretto.bus.client import Client, RunMessage
from stretto.bus.errors import Busy
from stretto.bus.message import Message
from stretto.bus.subjects import TaskKey
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.question import Question
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import TaskResult
from stretto.shared.errors import (
    DecisionRefused,
    QuestionAmbiguous,
    QuestionExpired,
    QuestionMoot,
    QuestionSettled,
    QuestionUnknown,
    RunOver,
    WrongVerb,
)
from stretto.shared.questions import AskedQuestion
from stretto.shared.requester import Requester
from tests.integration.ground import LIMIT_S, Ground, open_ground
from tests.integration.people import Runs, client_of, person


@pytest.fixture
async def ground(nats_url: str, prefix: str) -> AsyncGenerator[Ground]:
    async with open_ground(nats_url, prefix, shards=4) as ground:
        yield ground


def ids(questions: list[AskedQuestion]) -> list[str]:
    return [one.question.id for one in questions]


# Finding


async def test_open_questions_come_oldest_first_and_no_others(ground: Ground) -> None:
    runs = Runs(ground)
    asked = [await runs.ask(f"run-{number}") for number in range(8)]
    await runs.expire("run-1", asked[1])
    await runs.end("run-2", "cancelled")
    await person(ground).approve(asked[3])
    await Runs(ground, "other").ask("run-9")

    assert ids(await person(ground).questions()) == [asked[0], *asked[4:]]
    assert ids(await person(ground).questions(limit=2)) == [asked[0], asked[4]]


async def test_an_asked_question_says_where_it_comes_from_and_how_long_it_waits(ground: Ground) -> None:
    asked = await Runs(ground).ask("r1", text="Which one?")
    (one,) = await person(ground).questions()

    assert (one.run, one.question.id, one.question.text, one.agent) == ("r1", asked, "Which one?", "escalation-1")
    assert (one.expires_at - one.asked_at).total_seconds() == one.question.expires_in_s
    assert one.is_open


async def test_two_questions_of_one_run_are_two(ground: Ground) -> None:
    runs = Runs(ground)
    first, second = await runs.ask("r1", position=0), await runs.ask("r1", position=1)
    await person(ground).approve(first)

    assert ids(await person(ground).questions()) == [second]
    assert [one.is_open for one in await person(ground).questions_of("r1")] == [False, True]


async def test_a_question_is_found_by_the_beginning_of_its_id(ground: Ground) -> None:
    runs = Runs(ground)
    asked = [await runs.ask(f"run-{number}") for number in range(3)]
    await runs.end("run-0")

    assert (await person(ground).question(asked[0])).ended == "failed"
    assert (await person(ground).question(asked[1][:9])).question.id == asked[1]
    assert (await person(ground).question(asked[1], run="run-1")).question.id == asked[1]
    with pytest.raises(QuestionAmbiguous, match=r"several questions begin with q-: q-") as several:
        await person(ground).question("q-")
    assert several.value.candidates == tuple(sorted(asked))
    with pytest.raises(QuestionUnknown, match="tenant default has no question q-none: see `stretto inbox list`"):
        await person(ground).question("q-none")
    with pytest.raises(QuestionUnknown):
        await person(ground).question(asked[1], run="run-2")


async def test_another_tenants_questions_are_not_there(ground: Ground) -> None:
    asked = await Runs(ground, "other").ask("r1")

    assert await person(ground).questions() == []
    with pytest.raises(QuestionUnknown):
        await person(ground).approve(asked)
    assert ids(await person(ground, tenant="other").questions()) == [asked]


async def test_junk_is_no_question_and_hides_none(ground: Ground) -> None:
    runs = Runs(ground)
    asked = await runs.ask("r1")
    key = runs.client.key("r1")
    subject = ground.subjects.question(TaskKey(key, "escalation", "escalate", 1), 0)
    elsewhere = ground.subjects.question(TaskKey(key, "escalation", "escalate", 2), 0)
    forged = Question(
        id="q-forged", task="escalate", attempt=2, role="escalation", position=0, digest="d", text="Give me everything?"
    )
    await ground.connection.jetstream.store(subject, b"\x00junk")
    await runs.write("r1", elsewhere, forged)

    (one,) = await person(ground).questions()
    assert (one.question.id, one.question.text) == (asked, "Which?")


async def test_events_show_what_is_asked(ground: Ground) -> None:
    runs = Runs(ground)
    await runs.ask("r1", text="Which one?")
    await runs.end("r1")
    async with asyncio.timeout(LIMIT_S):
        shown = [event.message async for event in person(ground).events("r1")]

    assert [type(one) for one in shown] == [Request, Question, Answer]


async def test_ten_thousand_waiting_runs_are_listed_in_seconds(ground: Ground) -> None:
    runs, at_once = Runs(ground), asyncio.Semaphore(200)

    async def ask(number: int) -> str:
        async with at_once:
            return await runs.ask(f"run-{number}")

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(number)) for number in range(10_000)]
    async with asyncio.timeout(10.0):
        assert len(await person(ground).questions()) == 100
    async with asyncio.timeout(10.0):
        await person(ground).approve(asked[5_000].result())


# Deciding


DECISIONS: list[tuple[str, Callable[[Requester, str], Coroutine[Any, Any, AskedQuestion]], str]] = [
    ("answered", lambda who, asked: who.answer(asked, "Forty-two."), "Forty-two."),
    ("approved", lambda who, asked: who.approve(asked, "go"), "go"),
    ("approved", lambda who, asked: who.approve(asked), ""),
    ("rejected", lambda who, asked: who.reject(asked, "too long"), "too long"),
]


@pytest.mark.parametrize(("outcome", "decide", "text"), DECISIONS)
async def test_a_decision_is_in_the_log_with_who_and_when(
    ground: Ground, outcome: str, decide: Callable[[Requester, str], Coroutine[Any, Any, AskedQuestion]], text: str
) -> None:
    runs = Runs(ground)
    asked = await runs.ask("r1")
    settled = (await decide(person(ground), asked)).settled

    assert settled is not None
    assert (settled.question, settled.outcome, settled.text, settled.principal) == (asked, outcome, text, "bob")
    _, _, command = await runs.client.log("r1")
    assert command.subject.tail == ("bob", asked)
    assert command.at == settled.at
    assert await person(ground).questions() == []


async def test_the_second_decision_is_refused_and_names_the_first(ground: Ground) -> None:
    asked = await Runs(ground).ask("r1")
    first = await person(ground, "ann").reject(asked, "shorter, please")
    assert first.settled is not None

    for decide in (
        person(ground, "bob").reject(asked, "shorter, please"),
        person(ground, "ann").reject(asked, "longer, please"),
        person(ground, "ann").approve(asked, "shorter, please"),
    ):
        with pytest.raises(QuestionSettled, match=rf"{asked} is already settled: ann rejected it at .*shorter") as late:
            await decide
        assert late.value.settled == first.settled


async def test_the_same_decision_given_again_is_the_same_decision(ground: Ground) -> None:
    runs = Runs(ground)
    asked = await runs.ask("r1")
    first = await person(ground).answer(asked, "yes")

    assert await person(ground).answer(asked, "yes") == first
    assert len(await runs.client.log("r1")) == 3


async def test_a_decision_that_is_stored_twice_because_its_acknowledgement_was_lost_is_no_refusal(
    ground: Ground,
) -> None:
    asked = await Runs(ground).ask("r1")
    client, command = client_of(ground, "default", "bob"), Command(verb="approve", question=asked)

    def counts(_: RunMessage) -> bool:
        return True

    first = await client.command_once("r1", command, asked, counts=counts)
    assert await client.command_once("r1", command, asked, counts=counts) == first


async def test_of_ten_who_decide_at_once_one_does(ground: Ground) -> None:
    runs = Runs(ground)
    asked = await runs.ask("r1")

    async def decide(number: int) -> AskedQuestion | QuestionSettled:
        try:
            return await person(ground, f"person-{number}").answer(asked, f"I say {number}")
        except QuestionSettled as refused:
            return refused

    async with asyncio.TaskGroup() as group:
        tries = [group.create_task(decide(number)) for number in range(10)]
    ended = [one.result() for one in tries]
    (won,) = [one for one in ended if isinstance(one, AskedQuestion)]
    assert [one.settled for one in ended if isinstance(one, QuestionSettled)] == [won.settled] * 9
    assert len(await runs.client.log("r1")) == 3


async def test_an_approval_takes_no_words_for_an_answer(ground: Ground) -> None:
    runs = Runs(ground)
    asked = await runs.ask("r1", kind="approval")
    with pytest.raises(WrongVerb, match="asks for an approval: approve or reject it, it takes no answer"):
        await person(ground).answer(asked, "well")
    assert len(await runs.client.log("r1")) == 2
    assert (await person(ground).reject(asked)).settled is not None


async def test_what_does_not_fit_the_question_stands_in_nobodys_way(ground: Ground) -> None:
    runs = Runs(ground)
    asked = await runs.ask("r1", kind="approval")
    await runs.command("r1", asked, Command(verb="answer", question=asked, text="no matter"))
    key = runs.client.key("r1")
    await ground.connection.jetstream.store(ground.subjects.command(key, "mallory", asked), b"\x00junk")
    assert ids(await person(ground).questions()) == [asked]

    settled = (await person(ground).approve(asked)).settled
    assert settled is not None
    assert (settled.outcome, settled.principal) == ("approved", "bob")


async def test_a_decision_in_anothers_name_is_none(ground: Ground) -> None:
    runs = Runs(ground)
    asked = await runs.ask("r1")
    forged = Command(verb="approve", question=asked)
    await runs.write("r1", ground.subjects.command(runs.client.key("r1"), "eve", asked), forged, sender="ann")

    assert ids(await person(ground).questions()) == [asked]


@pytest.mark.parametrize("text", ["", "  ", "x" * 32_001])
async def test_an_answer_has_some_words_and_not_too_many(ground: Ground, text: str) -> None:
    asked = await Runs(ground).ask("r1")
    with pytest.raises(ValueError, match=r"text|empty"):
        await person(ground).answer(asked, text)
    assert ids(await person(ground).questions()) == [asked]


async def test_after_its_time_a_question_takes_no_decision(ground: Ground) -> None:
    runs = Runs(ground)
    asked = await runs.ask("r1")
    await runs.expire("r1", asked)
    with pytest.raises(QuestionExpired, match=f"question {asked} expired at .*: nobody had decided by then"):
        await person(ground).approve(asked)
    assert len(await runs.client.log("r1")) == 3


async def test_of_a_run_that_is_over_nothing_is_decided(ground: Ground) -> None:
    runs = Runs(ground)
    asked = await runs.ask("r1")
    await runs.end("r1", "failed")
    with pytest.raises(RunOver, match=f"question {asked} is open no more: run r1 is over \\(failed\\)"):
        await person(ground).approve(asked)


async def test_a_question_whose_attempt_ended_otherwise_is_decided_no_more(ground: Ground) -> None:
    runs = Runs(ground)
    asked, decided = await runs.ask("r1", position=0), await runs.ask("r1", position=1)
    await person(ground).approve(decided)
    task = TaskKey(runs.client.key("r1"), "escalation", "escalate", 1)
    await ground.connection.jetstream.store(ground.subjects.result(task), b"\x00junk")
    assert ids(await person(ground).questions()) == [asked]
    result = TaskResult(task="escalate", attempt=1, role="escalation", agent="escalation-1", output={})
    await runs.write("r1", ground.subjects.result(task), result, "escalation-1")

    assert await person(ground).questions() == []
    await runs.command("r1", asked, Command(verb="approve", question=asked))
    with pytest.raises(QuestionMoot, match="task escalate, which asked it, has gone on without"):
        await person(ground).approve(asked)
    assert (await person(ground).approve(decided)).settled is not None


async def test_of_a_run_that_was_cancelled_nothing_is_decided_although_nobody_has_ended_it_yet(ground: Ground) -> None:
    runs = Runs(ground)
    asked = await runs.ask("r1")
    await person(ground).cancel("r1")
    with pytest.raises(RunOver, match="cancelled"):
        await person(ground).approve(asked)


class _Overtaken(Client):
    """A client before whose command something else always happens."""

    happens: Callable[[], Coroutine[Any, Any, None]]

    async def command_once(
        self, run: str, command: Message, command_id: str, *, counts: Callable[[RunMessage], bool]
    ) -> int:
        await self.happens()
        return await super().command_once(run, command, command_id, counts=counts)


@pytest.mark.parametrize(
    ("happens", "refusal"),
    [
        (lambda runs, asked: runs.expire("r1", asked), QuestionExpired),
        (lambda runs, asked: runs.end("r1"), RunOver),
        (lambda runs, asked: runs.command("r1", asked, Command(verb="approve", question=asked)), QuestionSettled),
    ],
)
async def test_a_decision_that_comes_too_late_by_a_moment_says_so(
    ground: Ground,
    happens: Callable[[Runs, str], Coroutine[Any, Any, None]],
    refusal: type[DecisionRefused],
) -> None:
    runs = Runs(ground)
    asked = await runs.ask("r1")
    client = _Overtaken(connection=ground.connection, deployment=ground.deployment, principal="bob")
    client.happens = lambda: happens(runs, asked)

    with pytest.raises(refusal):
        await Requester(client=client).approve(asked)


# A busy system


async def test_a_request_that_was_not_taken_for_lack_of_room_says_when_to_come_back(ground: Ground) -> None:
    runs = Runs(ground)
    await runs.client.submit(Request(text="why?"), run="r1")
    await runs.end("r1", "rejected", reason="5000 runs are open", retry_in_s=2.5)

    with pytest.raises(Busy, match="run r1 was not taken: 5000 runs are open") as busy:
        await person(ground, "ann").ask("why?", run="r1")
    assert busy.value.retry_in_s == 2.5
    assert [type(event.message) async for event in person(ground).events("r1")] == [Request, Answer]
