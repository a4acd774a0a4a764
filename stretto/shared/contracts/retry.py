"""RetryPolicy: which failures of a task are tried again, how often, and when."""

import hashlib
from typing import Annotated

from pydantic import Field

from stretto.bus.message import Value
from stretto.shared.contracts.task import TaskFailure

__all__ = ["RetryPolicy"]


class RetryPolicy(Value):
    """The one owner of retries. It only says when; the supervisor acts on it.

    Attributes:
        tries: attempts in all.
        delay_s: before the second attempt; each further one waits `factor` times as long, up to `max_delay_s`.
        jitter: share of the delay by which it is spread, so that what failed together does not come back together.
        on: names of the errors that are tried again; empty means every retryable one.
    """

    tries: Annotated[int, Field(ge=1, le=20)] = 2
    delay_s: Annotated[float, Field(ge=0, le=86_400)] = 1.0
    factor: Annotated[float, Field(ge=1, le=10)] = 2.0
    max_delay_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.2
    on: tuple[str, ...] = ()

    def next_delay_s(self, failure: TaskFailure, attempt: int, seed: str) -> float | None:
        """Seconds until the attempt after `attempt`, which failed so; None when there is none. Never before the failure's `retry_after_s`.

        The same `seed` (the run and task) gives the same jitter: whoever decides it again decides the same.
        """
        if failure.kind != "retryable" or attempt >= self.tries or (self.on and failure.error not in self.on):
            return None
        delay_s = min(self.delay_s * self.factor ** (attempt - 1), self.max_delay_s)
        share = int.from_bytes(hashlib.sha256(f"{seed}.{attempt}".encode()).digest()[:4], "big") / 2**32
        delay_s *= 1 + self.jitter * (2 * share - 1)
        # What was told to come back at the same time is spread too, but only to later.
        return max(delay_s, (failure.retry_after_s or 0.0) * (1 + self.jitter * share))
