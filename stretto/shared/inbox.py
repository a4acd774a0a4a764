"""Inbox: the questions that wait for a person of one tenant, and the decisions on them."""

import asyncio
import contextlib
from typing import Final, Literal

from stretto.bus.client import Client
from stretto.bus.errors import Conflict, RetryLater
from stretto.bus.tenant_logs import RunMessage
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.question import Settled
from stretto.shared.contracts.settlement import settle
from stretto.shared.errors import (
    QuestionAmbiguous,
    QuestionExpired,
    QuestionMoot,
    QuestionSettled,
    QuestionUnknown,
    RunOver,
    WrongVerb,
)
from stretto.shared.questions import AskedQuestion, asked_questions, id_at, settlement

__all__ = ["Inbox", "Verb"]

Verb = Literal["answer", "approve", "reject"]

_LOOKS: Final = 40
_LOOK_AGAIN_S: Final = 0.05
"""A replica may lag behind what was just written."""


class Inbox:
    """Looks through the tenant's runs for questions, and settles them."""

    def __init__(self, *, client: Client) -> None:
        self._client = client
        self._logs = client.logs

    async def open(self, *, limit: int) -> list[AskedQuestion]:
        """The open questions, oldest first."""
        found = [one for shard in self._logs.shards for one in await self._open_in(shard)]
        return sorted(found, key=lambda one: (one.asked_at, one.question.id))[:limit]

    async def count(self) -> int:
        """How many are open."""
        return sum([len(await self._open_in(shard)) for shard in self._logs.shards])

    async def find(self, question: str, *, run: str | None = None) -> AskedQuestion:
        """The question of this id, or the only one whose id begins so, open or not. Knowing the run makes it cheap.

        Raises:
            QuestionUnknown, QuestionAmbiguous: as they say.
        """
        runs: dict[str, str] = {}
        if run is not None:
            runs = {one.question.id: run for one in await self.of_run(run) if one.question.id.startswith(question)}
        else:
            for shard in self._logs.shards:
                for place in await self._logs.places(shard, "question.>"):
                    if id_at(place.subject).startswith(question):
                        runs[id_at(place.subject)] = place.subject.key.run
        if question in runs:
            runs = {question: runs[question]}
        if len(runs) > 1:
            raise QuestionAmbiguous(question, tuple(sorted(runs)))
        for found_id, found_run in runs.items():
            for one in await self.of_run(found_run):
                if one.question.id == found_id:
                    return one
        raise QuestionUnknown(question, self._client.tenant)

    async def of_run(self, run: str) -> list[AskedQuestion]:
        """All questions of a run, in the order in which they were asked."""
        return asked_questions(await self._client.log(run))

    async def decide(self, question: str, verb: Verb, text: str, *, run: str | None = None) -> AskedQuestion:
        """Settle a question; return it as it stands then. The same decision by the same principal, given again, is one decision.

        Raises:
            DecisionRefused: it does not count; the class says why.
            RetryLater: it is not known whether it was stored: give it again.
        """
        asked = await self.find(question, run=run)
        command = Command(verb=verb, question=asked.question.id, text=text)
        wanted = settle(asked.question, command, self._client.principal, asked.asked_at)
        if wanted is None:
            raise WrongVerb(asked.question.id, verb)
        if not asked.is_open:
            return _settled_so(asked, wanted)

        with contextlib.suppress(Conflict):  # whose decision it is, the log says
            await self._client.command_once(
                asked.run, command, asked.question.id, counts=lambda one: settlement(asked.question, one) is not None
            )
        for _ in range(_LOOKS):
            for one in await self.of_run(asked.run):
                if one.seq == asked.seq and not one.is_open:
                    return _settled_so(one, wanted)
            await asyncio.sleep(_LOOK_AGAIN_S)
        raise RetryLater(f"the log of run {asked.run} does not show the decision yet: give it again")

    async def _open_in(self, shard: int) -> list[AskedQuestion]:
        """The open questions of one shard. Read are only those of runs that go on.

        First the questions: what settles one of them comes behind it, so it is seen in what is looked at later.
        """
        asked = await self._logs.places(shard, "question.>")
        if not asked:
            return []
        over = {place.subject.key.run for place in await self._logs.places(shard, "answer")}
        asked = [place for place in asked if place.subject.key.run not in over]
        ids = {id_at(place.subject) for place in asked}
        settling = [
            place
            for kind in ("command.*.*", "timer.*")
            for place in await self._logs.places(shard, kind)
            if place.subject.tail[-1] in ids
        ]
        results = {self._logs.result_of(place.subject) for place in asked}
        by_run: dict[str, list[RunMessage]] = {}
        for one in await self._logs.at(shard, [*asked, *settling, *results]):
            by_run.setdefault(one.subject.key.run, []).append(one)
        return [one for log in by_run.values() for one in asked_questions(log) if one.is_open]


def _settled_so(asked: AskedQuestion, wanted: Settled) -> AskedQuestion:
    """The question, if it is settled as was wanted."""
    settled, question = asked.settled, asked.question.id
    if settled is None and asked.ended is not None:
        raise RunOver(question, asked.run, asked.ended)
    if settled is None:
        raise QuestionMoot(question, asked.question.task)
    if settled.outcome == "expired":
        raise QuestionExpired(question, settled.at)
    if settled.model_copy(update={"at": wanted.at}) != wanted:
        raise QuestionSettled(question, settled)
    return asked
