"""Records: what a run's log holds about its tasks."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from stretto.supervisor.facts import Asked, Moment, ResultRecorded, TimerFired
from stretto.supervisor.questions import Inquiry

__all__ = ["AttemptKey", "Records"]

AttemptKey = tuple[str, str, int]
"""Role, task and attempt."""


class Records(NamedTuple):
    """What was recorded, the first of each.

    Attributes:
        results: the result of each attempt.
        inquiries: what each attempt asked people, in the order of its steps.
        timers: when each timer fired, by name.
    """

    results: Mapping[AttemptKey, ResultRecorded] = MappingProxyType({})
    inquiries: Mapping[AttemptKey, tuple[Inquiry, ...]] = MappingProxyType({})
    timers: Mapping[str, Moment] = MappingProxyType({})

    def with_result(self, fact: ResultRecorded) -> "Records":
        result = fact.result
        key = (result.role, result.task, result.attempt)
        return self if key in self.results else self._replace(results={**self.results, key: fact})

    def with_question(self, fact: Asked) -> "Records":
        question = fact.question
        key = (question.role, question.task, question.attempt)
        known = self.inquiries.get(key, ())
        if any(one.question.position == question.position for one in known):
            return self
        inquiries = sorted((*known, Inquiry.of(fact)), key=lambda one: one.question.position)
        return self._replace(inquiries={**self.inquiries, key: tuple(inquiries)})

    def with_settled(self, inquiry: Inquiry) -> "Records":
        """With `inquiry` in the place of the one that asks the same."""
        question = inquiry.question
        key = (question.role, question.task, question.attempt)
        inquiries = tuple(
            inquiry if one.question.position == question.position else one for one in self.inquiries.get(key, ())
        )
        return self._replace(inquiries={**self.inquiries, key: inquiries})

    def with_timer(self, fact: TimerFired) -> "Records":
        return self if fact.name in self.timers else self._replace(timers={**self.timers, fact.name: fact.moment})
