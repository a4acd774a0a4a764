"""Costs: what runs took, read from their own logs: part by part, by tenant, day, role, model and playbook."""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from stretto.bus.envelope import open_envelope
from stretto.bus.errors import DecodeError
from stretto.bus.message import Message
from stretto.bus.subjects import RunSubject
from stretto.bus.tenant_logs import Place, RunMessage, TenantLogs
from stretto.shared.contracts.answer import Answer, TaskReport
from stretto.shared.contracts.task import TaskResult
from stretto.shared.contracts.usage import Usage
from stretto.shared.money.price import Price

__all__ = ["NOT_TOLD", "OPEN", "TOOLS", "Costs", "Spending", "has_price"]

NOT_TOLD: Final = "(not told)"
"""Stands for the models of usage that its record does not say: of versions that did not, or failed without saying."""
TOOLS: Final = "(tools)"
"""Stands for a model where only tools were called."""
OPEN: Final = "(not over yet)"
"""Stands for the playbook of a run that goes on."""

_AT_ONCE: Final = 500

Kind = TypeVar("Kind", bound=Message)


@dataclass(frozen=True, slots=True)
class Spending:
    """What one model took in one task of a run.

    Attributes:
        at: when it was told: the time of the run's answer, or of the attempt's result in a run that goes on.
        playbook: empty where the run had none.
    """

    tenant: str
    run: str
    at: datetime
    role: str
    model: str
    playbook: str
    usage: Usage

    @property
    def day(self) -> str:
        """Of UTC, as budgets count."""
        return f"{self.at:%Y-%m-%d}"


class Costs:
    """Reads the answers, which have it all, and of runs that are not over the results of their attempts."""

    def __init__(self, *, logs: TenantLogs) -> None:
        self._logs = logs

    async def read(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> AsyncGenerator[Spending]:
        """What was told from `since` on and before `until`. `progress` gets how many messages were read, and how many there are.

        Raises:
            StreamMissing: there is no deployment of this prefix.
        """
        found: list[tuple[int, Sequence[Place]]] = []
        for shard in self._logs.shards:
            answers = await self._logs.places(shard, "answer")
            over = {_run(place.subject) for place in answers}
            results = await self._logs.places(shard, "result.*.*.*")
            found.append((shard, [*answers, *(one for one in results if _run(one.subject) not in over)]))
        done, total = 0, sum(len(places) for _, places in found)
        for shard, places in found:
            for first in range(0, len(places), _AT_ONCE):
                some = places[first : first + _AT_ONCE]
                seen: set[RunSubject] = set()
                for message in await self._logs.at(shard, some):
                    spendings = _spendings(message)
                    if spendings is None or message.subject in seen:  # the first one counts
                        continue
                    seen.add(message.subject)
                    if (since is None or message.at >= since) and (until is None or message.at < until):
                        for one in spendings:
                            yield one
                done += len(some)
                progress(done, total)


def has_price(spending: Spending, price_of: Callable[[str], Price | None]) -> bool:
    """Whether what it cost is known: if nothing is recorded, that its model costs nothing."""
    usage = spending.usage
    if usage.cost_usd or not (usage.input_tokens or usage.output_tokens):
        return True
    price = price_of(spending.model)
    return price is not None and price.cost_usd(usage) == 0


def _run(subject: RunSubject) -> tuple[str, str]:
    return subject.key.tenant, subject.key.run


def _spendings(message: RunMessage) -> list[Spending] | None:
    """None for what is neither an answer nor a result."""
    key = message.subject.key
    if message.subject.kind == "answer":
        answer = _opened(message, Answer)
        if answer is None:
            return None
        playbook, tasks = answer.playbook, list(answer.tasks)
    else:
        result = _opened(message, TaskResult)
        if result is None:
            return None
        playbook, tasks = OPEN, [_report(result)]
    return [
        Spending(key.tenant, key.run, message.at, task.role, model, playbook, usage)
        for task in tasks
        for model, usage in _parts(task)
    ]


def _report(result: TaskResult) -> TaskReport:
    """A result, as an answer tells of it."""
    return TaskReport(
        task=result.task,
        role=result.role,
        state="failed" if result.failure else "succeeded",
        usage=result.usage,
        models=result.models,
        by_model=result.by_model,
    )


def _parts(task: TaskReport) -> Iterator[tuple[str, Usage]]:
    """What each model took in a task; together its whole usage."""
    rest = task.usage.without(task.by_model.values())
    yield from task.by_model.items()
    if not rest.model_calls and not rest.input_tokens and not rest.output_tokens and rest.cost_usd < 1e-12:
        if rest.tool_calls:
            yield TOOLS, Usage(tool_calls=rest.tool_calls)
        return
    yield task.models[0] if len(task.models) == 1 and not task.by_model else NOT_TOLD, rest


def _opened(message: RunMessage, kind: type[Kind]) -> Kind | None:
    try:
        return open_envelope(message.envelope, kind)
    except DecodeError:
        return None
