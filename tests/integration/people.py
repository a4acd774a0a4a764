"""People: runs that ask, written by hand, and those who are asked, for tests of the inbox."""

from dataclasses import dataclass, field
from typing import Any, Literal

from stretto.bus.client import Client
from stretto.bus.envelope import Envelope
from stretto.bus.message import Message
from stretto.bus.subjects import TaskKey
from stretto.shared.contracts.answer import Answer, RunEnd
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.decision import Decision, PlanMade
from stretto.shared.contracts.plan import Plan, PlannedTask
from stretto.shared.contracts.question import Question, question_id
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.retry import RetryPolicy
from stretto.shared.contracts.task import TaskFailure, TaskResult
from stretto.shared.contracts.timer import TimerFired
from stretto.shared.requester import Requester
from tests.integration.ground import Ground

__all__ = ["Runs", "client_of", "person"]


@dataclass
class Runs:
    """Writes by hand what agents, supervisors and the server's clock write into the logs of a tenant's runs."""

    ground: Ground
    tenant: str = "default"
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = client_of(self.ground, self.tenant, "ann")

    async def ask(
        self, run: str, *, position: int = 0, text: str = "Which?", kind: Literal["question", "approval"] = "question"
    ) -> str:
        """A run that asks; return the question's id."""
        await self.client.submit(Request(text="why?"), run=run)
        task = TaskKey(self.client.key(run), "escalation", "escalate", 1)
        asked = question_id(task, position)
        question = Question(
            id=asked, task="escalate", attempt=1, role="escalation", position=position, digest="d", text=text, kind=kind
        )
        await self.write(run, self.ground.subjects.question(task, position), question, "escalation-1")
        return asked

    async def plan(self, run: str, *tasks: PlannedTask, retries: RetryPolicy | None = None) -> None:
        """A run that follows this plan; the last task's output is the answer."""
        await self.client.submit(Request(text="why?"), run=run)
        made = PlanMade(
            plan=Plan(playbook="mine", tasks=tasks, answer=tasks[-1].id),
            retries={"default": retries} if retries else {},
        )
        await self.write(run, self.ground.subjects.decision(self.client.key(run)), Decision(events=(made,)))

    async def fail(self, run: str, task: PlannedTask) -> None:
        """The task's first attempt fails, for now."""
        failure = TaskFailure(kind="retryable", error="ModelUnavailable", message="no answer")
        result = TaskResult(task=task.id, attempt=1, role=task.role, agent="a-1", failure=failure)
        key = TaskKey(self.client.key(run), task.role, task.id, 1)
        await self.write(run, self.ground.subjects.result(key), result, "a-1")

    async def expire(self, run: str, question: str) -> None:
        await self.write(run, self.ground.subjects.timer(self.client.key(run), question), TimerFired(name=question))

    async def end(self, run: str, state: RunEnd = "failed", **fields: Any) -> None:
        await self.write(run, self.ground.subjects.answer(self.client.key(run)), Answer(state=state, **fields))

    async def command(self, run: str, question: str, command: Command, principal: str = "eve") -> None:
        """A command as somebody writes it who asks nobody whether it fits."""
        await self.write(
            run, self.ground.subjects.command(self.client.key(run), principal, question), command, principal
        )

    async def write(self, run: str, subject: str, message: Message, sender: str = "s1") -> None:
        envelope = Envelope.of(message, tenant=self.tenant, run=run, sender=sender)
        await self.ground.connection.jetstream.store(subject, await self.ground.wire.pack(envelope))


def client_of(ground: Ground, tenant: str, principal: str) -> Client:
    return Client(connection=ground.connection, deployment=ground.deployment, tenant=tenant, principal=principal)


def person(ground: Ground, principal: str = "bob", tenant: str = "default") -> Requester:
    return Requester(client=client_of(ground, tenant, principal))
