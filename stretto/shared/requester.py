"""Requester: the Python client. It asks, waits, watches, cancels, and decides what a run asks a person, in typed messages."""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from stretto.bus.client import Client, LiveMessage, RunMessage
from stretto.bus.connection import Connection
from stretto.bus.envelope import open_envelope
from stretto.bus.errors import Busy, DecodeError
from stretto.bus.message import Message
from stretto.bus.subjects import check_token
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.budget import Budget
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.decision import Decision
from stretto.shared.contracts.progress import Progress
from stretto.shared.contracts.question import Question
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import TaskResult
from stretto.shared.contracts.timer import TimerFired
from stretto.shared.inbox import Inbox
from stretto.shared.questions import AskedQuestion
from stretto.shared.settings import Settings

__all__ = ["Event", "Requester", "connect", "requester_on"]

_MESSAGES: Final[Mapping[str, type[Message]]] = {
    one.TYPE: one for one in (Request, Decision, TaskResult, Question, Command, TimerFired, Answer, Progress)
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run.

    Attributes:
        message: a `Request`, `Decision`, `TaskResult`, `Question`, `Command`, `TimerFired` or `Answer` that was stored, or live `Progress`.
        sender: who wrote it.
        at: the server's time of storing it; for progress the sender's.
        seq: where it stands in the stream of the run's log; 0 for progress.
    """

    message: Message
    sender: str
    at: datetime
    seq: int = 0


class Requester:
    """Speaks for one principal of one tenant."""

    def __init__(self, *, client: Client) -> None:
        self._client = client
        self._inbox = Inbox(client=client)

    async def ask(
        self,
        request: Request | str,
        *,
        run: str | None = None,
        timeout_s: float | None = None,
        budget: Budget | None = None,
        conversation: str | None = None,
    ) -> Answer:
        """Submit a request and wait for its answer: `submit` and `result` in one.

        Raises:
            Busy: the system has too much to do. Ask again after `retry_in_s`, under another run id: this one has its answer.
        """
        return await self.result(
            await self.submit(request, run=run, budget=budget, conversation=conversation), timeout_s=timeout_s
        )

    async def submit(
        self,
        request: Request | str,
        *,
        run: str | None = None,
        budget: Budget | None = None,
        conversation: str | None = None,
    ) -> str:
        """Start a run; return its id. The same request under the same run id is the same run.

        Args:
            budget: what it may take; where the playbook or the deployment allows less, that holds.
            conversation: the thread of runs that it belongs to: it knows what those before it asked and answered.

        Raises:
            ValueError: the request is empty or too long, or the id of run or conversation has characters that are not allowed.
            RunExists: the run id belongs to another request.
            Busy, TimedOut, StreamMissing, TooLarge: see `stretto.bus.errors`. After TimedOut, submit again with the same run id.
        """
        whole = Request(text=request) if isinstance(request, str) else request
        if budget is not None:
            whole = whole.model_copy(update={"budget": budget})
        if conversation is not None:
            whole = whole.model_copy(update={"conversation": check_token(conversation, "conversation")})
        return await self._client.submit(whole, run=run)

    async def result(self, run: str, *, timeout_s: float | None = None) -> Answer:
        """Wait for the answer, whatever its state. A run that waits for a person is waited for: `events` and `questions` show what it asks.

        Raises:
            TimedOut: there is none within `timeout_s`; the run goes on.
            Busy: the system had too much to do for this run. The request may be sent again after `retry_in_s`, as another run.
        """
        answer = open_envelope(await self._client.result(run, timeout_s=timeout_s), Answer)
        if answer.retry_in_s is not None:
            raise Busy(f"run {run} was not taken: {answer.reason}", retry_in_s=answer.retry_in_s)
        return answer

    async def log(self, run: str) -> list[Event]:
        """What has happened in the run so far; nothing where no such run is known."""
        return [event for one in await self._client.log(run) if (event := _event(one)) is not None]

    async def events(self, run: str) -> AsyncGenerator[Event]:
        """What happens in the run, from its beginning to its answer (included)."""
        async with contextlib.aclosing(self._client.events(run)) as messages:
            async for one in messages:
                event = _event(one)
                if event is not None:
                    yield event

    async def cancel(self, run: str, *, reason: str = "") -> None:
        """Ask for the run's end. Its answer then says `cancelled`, unless it was complete before."""
        await self._client.command(run, Command(verb="cancel", reason=reason))

    # What runs ask a person

    async def questions(self, *, limit: int = 100) -> list[AskedQuestion]:
        """The tenant's open questions, oldest first."""
        return await self._inbox.open(limit=limit)

    async def count_questions(self) -> int:
        """How many of the tenant's questions are open."""
        return await self._inbox.count()

    async def questions_of(self, run: str) -> list[AskedQuestion]:
        """All questions of a run, open or not, in the order in which they were asked."""
        return await self._inbox.of_run(run)

    async def question(self, question: str, *, run: str | None = None) -> AskedQuestion:
        """The question of this id, or the only one whose id begins so, open or not. Knowing the run makes it cheap.

        Raises:
            QuestionUnknown, QuestionAmbiguous: see `stretto.shared.errors`.
        """
        return await self._inbox.find(question, run=run)

    async def answer(self, question: str, text: str, *, run: str | None = None) -> AskedQuestion:
        """Answer a question in words; return it as it stands then.

        Each question is decided once. The same decision by the same principal, given again, is one decision: so give it again after
        TimedOut.

        Raises:
            DecisionRefused: the decision does not count; its classes in `stretto.shared.errors` say why.
            ValueError: the text is empty or too long.
        """
        return await self._inbox.decide(question, "answer", text, run=run)

    async def approve(self, question: str, note: str = "", *, run: str | None = None) -> AskedQuestion:
        """Approve. As `answer`."""
        return await self._inbox.decide(question, "approve", note, run=run)

    async def reject(self, question: str, note: str = "", *, run: str | None = None) -> AskedQuestion:
        """Reject; the note says what to change. As `answer`."""
        return await self._inbox.decide(question, "reject", note, run=run)


def requester_on(connection: Connection, settings: Settings) -> Requester:
    """Speaks for the tenant and principal of the settings."""
    return Requester(
        client=Client(
            connection=connection,
            deployment=settings.deployment,
            tenant=settings.tenant,
            principal=settings.principal,
            answer_type=Answer,
        )
    )


@contextlib.asynccontextmanager
async def connect(settings: Settings, url: str, *, wait_s: float = 0.0) -> AsyncGenerator[Requester]:
    """Connect to a running system as the tenant and principal that the settings name.

    Raises:
        Unreachable, NotPermitted, Misconfigured: see `Connection.open`.
    """
    async with await Connection.open(settings.connection(url, name="requester", wait_s=wait_s)) as connection:
        yield requester_on(connection, settings)


def _event(one: RunMessage | LiveMessage) -> Event | None:
    """The event, or None for what is no message of a run, or none yet: a timer that is set."""
    kind = _MESSAGES.get(one.envelope.type)
    try:
        message = open_envelope(one.envelope, kind) if kind else None
    except DecodeError:
        return None
    match one:
        case _ if message is None:
            return None
        case RunMessage(subject=subject):
            return None if subject.kind == "schedule" else Event(message, one.envelope.sender, one.at, one.seq)
        case LiveMessage():
            return Event(message, one.envelope.sender, one.envelope.sent_at)
