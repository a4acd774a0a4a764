"""Retries: which policy holds for a task of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from stretto.shared.contracts.plan import PlannedTask
from stretto.shared.contracts.retry import RetryPolicy
from stretto.shared.contracts.task import TaskFailure

__all__ = ["Retries"]

_DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Retries:
    """The policies that were committed with a run's plan.

    Attributes:
        policies: by role; `default` stands for the roles that are not named.
        seed: tells the run from others, so that what failed together is not tried again together.
    """

    policies: Mapping[str, RetryPolicy] = field(default_factory=dict[str, RetryPolicy])
    seed: str = ""

    def next_delay_s(self, task: str, planned: PlannedTask, failure: TaskFailure, attempt: int) -> float | None:
        """Seconds until the attempt after `attempt` at `task` (an id in the run), which failed so; None when there is none."""
        policy = self.policies.get(planned.role) or self.policies.get(_DEFAULT) or RetryPolicy()
        if planned.max_attempts is not None:
            policy = policy.model_copy(update={"tries": planned.max_attempts})
        return policy.next_delay_s(failure, attempt, f"{self.seed}.{task}")
