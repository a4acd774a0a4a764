"""Unfinished work: what the attempts have cost that a run's end cut short."""

from collections.abc import Collection

from stretto.bus.connection import Connection
from stretto.bus.run_log import RunLog
from stretto.bus.step import Step
from stretto.bus.subjects import RunKey, Subjects, TaskKey
from stretto.bus.wire import Wire
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.step import by_model_of, usage_of
from stretto.shared.contracts.usage import Usage, add_by_model
from stretto.supervisor.decide import Outstanding

__all__ = ["UnfinishedWork"]


class UnfinishedWork:
    """Adds up the steps of attempts without a result. A result says what its attempt cost; of these there is none."""

    def __init__(self, *, connection: Connection, subjects: Subjects, wire: Wire) -> None:
        self._connection = connection
        self._subjects = subjects
        self._log = RunLog(connection=connection, subjects=subjects, wire=wire)

    async def bill(
        self, key: RunKey, answer: Answer, outstanding: Collection[Outstanding], *, origin_seq: int
    ) -> Answer:
        """The answer with the cost so far of what is outstanding in it. What is under way at this moment is not known.

        Raises:
            RetryLater: the steps cannot be read now.
        """
        stored = await self._connection.jetstream.read(
            self._subjects.runs_stream(key.shard), self._subjects.steps_of_run(key), from_seq=origin_seq
        )
        steps: dict[str, dict[str, Step]] = {}
        for entry in stored:
            found = steps.setdefault(entry.subject.rpartition(".")[0], {})
            if entry.subject not in found and (read := await self._log.read(entry, key, Step)) is not None:
                found[entry.subject] = read[1]
        spent: dict[str, Usage] = {}
        by_model: dict[str, dict[str, Usage]] = {}
        for one in outstanding:
            place = self._subjects.steps(TaskKey(key, one.role, one.task, one.attempt)).removesuffix(".>")
            spent[one.task] = usage_of(steps.get(place, {}).values())
            by_model[one.task] = by_model_of(steps.get(place, {}).values())
        return answer.model_copy(
            update={
                "usage": sum(spent.values(), answer.usage),
                "tasks": tuple(
                    report.model_copy(
                        update={
                            "usage": report.usage + spent.get(report.task, Usage()),
                            "by_model": add_by_model([report.by_model, by_model.get(report.task, {})]),
                        }
                    )
                    for report in answer.tasks
                ),
            }
        )
