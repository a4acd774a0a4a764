"""Subjects: built and parsed here and nowhere else."""

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import StringConstraints

__all__ = ["RunKey", "RunSubject", "Subjects", "TaskKey", "Token", "check_token"]

TOKEN_PATTERN = r"^[a-z0-9_-]{1,64}$"  # noqa: S105 (a subject token, not a secret)
_TOKEN = re.compile(r"[a-z0-9_-]{1,64}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
"""As we write them: another way to write the same number would be another subject."""
_DEAD_TOKENS = 12

Token = Annotated[str, StringConstraints(pattern=TOKEN_PATTERN)]
RunKind = Literal["request", "decision", "result", "question", "command", "schedule", "timer", "answer"]


def check_token(value: str, what: str = "token") -> str:
    """Return `value` if it may stand in a subject.

    Raises:
        ValueError: it is empty, too long, or has other characters than a-z, 0-9, `_` and `-`.
    """
    if not _TOKEN.fullmatch(value):
        raise ValueError(f"{what} {value[:80]!r} is not allowed: use 1 to 64 of a-z, 0-9, _ and -")
    return value


@dataclass(frozen=True, slots=True)
class RunKey:
    """Which run: its shard, tenant and id."""

    shard: int
    tenant: str
    run: str

    def __post_init__(self) -> None:
        if self.shard < 0:
            raise ValueError(f"shard {self.shard} is not allowed: shards count from 0")
        check_token(self.tenant, "tenant")
        check_token(self.run, "run")

    @classmethod
    def of(cls, tenant: str, run: str, shards: int) -> "RunKey":
        """The run's key with the shard that a client of ours uses: a hash of the run id."""
        digest = hashlib.sha256(run.encode()).digest()
        return cls(int.from_bytes(digest[:4], "big") % shards, tenant, run)


@dataclass(frozen=True, slots=True)
class TaskKey:
    """Which attempt at which task of a run."""

    run: RunKey
    role: str
    task: str
    attempt: int

    def __post_init__(self) -> None:
        check_token(self.role, "role")
        check_token(self.task, "task")


@dataclass(frozen=True, slots=True)
class RunSubject:
    """A parsed subject below a run: its kind and the tokens behind it.

    `tail` holds (principal,) for a request, (role, task, attempt) for a result, (role, task, attempt, position) for a question,
    (principal, id) for a command, (name,) for a schedule or timer, () for a decision or an answer.
    """

    key: RunKey
    kind: RunKind
    tail: tuple[str, ...]


_TAILS: dict[str, int] = {
    "request": 1,
    "decision": 0,
    "result": 3,
    "question": 4,
    "command": 2,
    "schedule": 1,
    "timer": 1,
    "answer": 0,
}


@dataclass(frozen=True, slots=True)
class Subjects:
    """Every subject and stream name of one deployment, told from others on the same server by `prefix`."""

    prefix: str = "stretto"

    def __post_init__(self) -> None:
        check_token(self.prefix, "prefix")

    # Runs: {prefix}.run.{shard}.{tenant}.{run}.{kind}...

    def run(self, key: RunKey) -> str:
        return f"{self.prefix}.run.{key.shard}.{key.tenant}.{key.run}"

    def request(self, key: RunKey, principal: str) -> str:
        return f"{self.run(key)}.request.{check_token(principal, 'principal')}"

    def any_request(self, key: RunKey) -> str:
        return f"{self.run(key)}.request.*"

    def requests_of(self, shard: int, tenant: str) -> str:
        """All requests of a tenant in a shard."""
        return f"{self.prefix}.run.{shard}.{check_token(tenant, 'tenant')}.*.request.*"

    def decision(self, key: RunKey) -> str:
        return f"{self.run(key)}.decision"

    def result(self, key: TaskKey) -> str:
        return f"{self.run(key.run)}.result.{key.role}.{key.task}.{key.attempt}"

    def question(self, key: TaskKey, position: int) -> str:
        """Where the attempt's step at `position` asks a person."""
        return f"{self.run(key.run)}.question.{key.role}.{key.task}.{key.attempt}.{position}"

    def command(self, key: RunKey, principal: str, command_id: str) -> str:
        return f"{self.run(key)}.command.{check_token(principal, 'principal')}.{check_token(command_id, 'command id')}"

    def any_command(self, key: RunKey, command_id: str) -> str:
        """The command of this id, whoever gives it."""
        return f"{self.run(key)}.command.*.{check_token(command_id, 'command id')}"

    def schedule(self, key: RunKey, name: str) -> str:
        return f"{self.run(key)}.schedule.{check_token(name, 'timer')}"

    def timer(self, key: RunKey, name: str) -> str:
        return f"{self.run(key)}.timer.{check_token(name, 'timer')}"

    def answer(self, key: RunKey) -> str:
        return f"{self.run(key)}.answer"

    def log(self, key: RunKey) -> str:
        """Where the server repeats what it stored below a run, for those who watch it live."""
        return f"{self.prefix}.log.{key.shard}.{key.tenant}.{key.run}"

    def parse_run(self, subject: str) -> RunSubject:
        """Parse a subject below a run.

        Raises:
            ValueError: it is not one of ours; the text says where it differs.
        """
        head = f"{self.prefix}.run."
        if not subject.startswith(head):
            raise ValueError(f"subject does not begin with {head}")
        parts = subject[len(head) :].split(".")
        if len(parts) < 4:
            raise ValueError("subject is too short for a run's")
        shard, tenant, run, kind, *tail = parts
        if not _NUMBER.fullmatch(shard):
            raise ValueError("shard is not a number")
        if _TAILS.get(kind) != len(tail):
            raise ValueError("unknown kind, or a wrong number of tokens behind it")
        for token in tail:
            check_token(token)
        if kind in {"result", "question"} and not all(_NUMBER.fullmatch(number) for number in tail[2:]):
            raise ValueError("attempt or position is not a number")
        return RunSubject(RunKey(int(shard), tenant, run), kind, tuple(tail))  # type: ignore[arg-type]  # checked by _TAILS

    # Tasks: {prefix}.task.{role}.{tenant}.{run}.{task}.{attempt}.{resumption}; beside them {prefix}.suspect.… and {prefix}.filler.…

    def task(self, key: TaskKey, resumption: int = 0) -> str:
        """Where an attempt is queued; anew for each time that it goes on after waiting for a person."""
        run = key.run
        return f"{self.prefix}.task.{key.role}.{run.tenant}.{run.run}.{key.task}.{key.attempt}.{resumption}"

    def suspect(self, task: str) -> str:
        """Where what was queued on `task` is queued once more when those who had it died: suspects are given out one by one."""
        return f"{self.prefix}.suspect.{task.removeprefix(f'{self.prefix}.task.')}"

    def suspected(self, suspect: str) -> str:
        """Where a suspect was queued first; any other subject is its own."""
        head = f"{self.prefix}.suspect."
        return f"{self.prefix}.task.{suspect.removeprefix(head)}" if suspect.startswith(head) else suspect

    def tasks_of_run(self, key: RunKey, role: str) -> str:
        """Whatever the role's stream holds of the run, suspects included."""
        return f"{self.prefix}.*.{check_token(role, 'role')}.{key.tenant}.{key.run}.>"

    def tasks_of(self, role: str) -> str:
        return f"{self.prefix}.task.{check_token(role, 'role')}.>"

    def suspects_of(self, role: str) -> str:
        return self.suspect(self.tasks_of(role))

    def filler(self, role: str, number: int) -> str:
        """Where a message is stored that no consumer gets, for the sequence that it takes."""
        return f"{self.prefix}.filler.{check_token(role, 'role')}.{number}"

    def fillers_of(self, role: str) -> str:
        return f"{self.prefix}.filler.{check_token(role, 'role')}.>"

    # Steps: {prefix}.step.{shard}.{tenant}.{run}.{role}.{task}.{attempt}.{position}, in the stream of the run's log

    def step(self, key: TaskKey, position: int) -> str:
        """Where the outcome of the attempt's step at `position` is recorded."""
        return f"{self._steps(key)}.{position}"

    def intent(self, key: TaskKey, position: int) -> str:
        """Where it is recorded, before a step with consequences, that it begins."""
        return f"{self.step(key, position)}.intent"

    def steps(self, key: TaskKey) -> str:
        """All that is recorded of the attempt's steps."""
        return f"{self._steps(key)}.>"

    def steps_of_run(self, key: RunKey) -> str:
        return f"{self.prefix}.step.{key.shard}.{key.tenant}.{key.run}.>"

    def _steps(self, key: TaskKey) -> str:
        run = key.run
        return f"{self.prefix}.step.{run.shard}.{run.tenant}.{run.run}.{key.role}.{key.task}.{key.attempt}"

    def progress(self, key: RunKey, role: str) -> str:
        return f"{self.prefix}.progress.{key.tenant}.{key.run}.{check_token(role, 'role')}"

    def any_progress(self, key: RunKey) -> str:
        return f"{self.prefix}.progress.{key.tenant}.{key.run}.*"

    # Turns of conversations, ledgers and rates

    def turn(self, tenant: str, conversation: str, run: str) -> str:
        """Where it is written, once, what a run added to its conversation."""
        return f"{self._turns(tenant, conversation)}.{check_token(run, 'run')}"

    def turns(self, tenant: str, conversation: str) -> str:
        """All that runs added to a conversation."""
        return f"{self._turns(tenant, conversation)}.*"

    def _turns(self, tenant: str, conversation: str) -> str:
        return f"{self.prefix}.turn.{check_token(tenant, 'tenant')}.{check_token(conversation, 'conversation')}"

    def ledger(self, tenant: str, account: str, name: str) -> str:
        """What was spent and is reserved of one budget: `account` is `run`, `day` or `month`, and `name` which one."""
        return f"{self.prefix}.ledger.{check_token(tenant, 'tenant')}.{check_token(account)}.{check_token(name)}"

    def rate(self, provider: str, unit: str, window: int) -> str:
        """Counts what all processes send to a provider within one window of time."""
        return f"{self.prefix}.rate.{check_token(provider, 'provider')}.{check_token(unit)}.{window}"

    # Spans

    def span(self, service: str) -> str:
        """Where the processes of a service tell their spans."""
        return f"{self.prefix}.span.{check_token(service, 'service')}"

    def any_span(self) -> str:
        return f"{self.prefix}.span.*"

    # Services

    def memory(self, tenant: str, verb: str) -> str:
        return f"{self.prefix}.memory.{check_token(tenant, 'tenant')}.{check_token(verb, 'verb')}"

    def any_memory(self) -> str:
        return f"{self.prefix}.memory.*.*"

    def beat(self, role: str, instance: str) -> str:
        """Heartbeat of one process that serves `role`."""
        return f"{self.prefix}.beat.{check_token(role, 'role')}.{check_token(instance, 'instance')}"

    def any_beat(self) -> str:
        return f"{self.prefix}.beat.>"

    def withdraw(self, role: str) -> str:
        """Tells the agents of a role that a run is over: what they still do for it is stopped."""
        return f"{self.prefix}.withdraw.{check_token(role, 'role')}"

    def roll_call(self) -> str:
        """A message here asks every process for a heartbeat at once."""
        return f"{self.prefix}.rollcall"

    def dead(self, source: str, letter_id: str) -> str:
        """Where the one letter of this id lies, about a message that came on `source` and that nobody can process.

        A hostile `source` may hold what cannot be published on (wildcards, blanks, four thousand characters): that is replaced or cut.
        """
        return f"{self.any_dead(source).removesuffix('>')}{check_token(letter_id, 'letter id')}"

    def any_dead(self, source: str = "") -> str:
        """All dead letters, or those of messages that came on `source` or below it."""
        tokens = source.removeprefix(f"{self.prefix}.").split(".")[:_DEAD_TOKENS] if source else []
        return ".".join(
            [self.prefix, "dead", *(re.sub("[^a-zA-Z0-9_-]", "_", token)[:64] or "_" for token in tokens), ">"]
        )

    def dead_settled(self, letter_id: str) -> str:
        """Where it is written what became of a dead letter."""
        return f"{self.prefix}.dead-settled.{check_token(letter_id, 'letter id')}"

    # Templates, for those who tell of messages: as many as there are kinds of them

    def run_template(self, kind: str) -> str:
        return f"{self.prefix}.run.{{run}}.{kind}"

    def task_template(self) -> str:
        return f"{self.prefix}.task.{{role}}"

    def memory_template(self) -> str:
        return f"{self.prefix}.memory.{{verb}}"

    # Stream names

    def stream(self, name: str) -> str:
        return f"{self.prefix.upper()}_{name}"

    def runs_stream(self, shard: int) -> str:
        return self.stream(f"RUNS_{shard}")

    def tasks_stream(self, role: str) -> str:
        return self.stream(f"TASKS_{check_token(role, 'role')}")
