"""Breaker: keeps calls off a model that fails again and again, and remembers how it did."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, Literal, TypeVar

from interlock import CircuitBreaker, CircuitOpenError, Clock, Config, State

from stretto.bus.agent_card import ModelHealth
from stretto.shared.models.errors import (
    CannotDo,
    CircuitOpen,
    LimitReached,
    ModelError,
    ModelUnavailable,
    NotConfigured,
)
from stretto.shared.money.errors import MoneyError

__all__ = ["Breaker", "Breakers"]

Given = TypeVar("Given")

_CONFIG: Final = Config(
    window_size=10,
    minimum_number_of_calls=3,
    failure_rate_threshold=0.5,
    slow_call_duration_threshold=math.inf,  # a good reply may take minutes
    wait_duration_in_open=15.0,
    wait_duration_backoff_multiplier=2.0,
    wait_duration_in_open_max=120.0,
    permitted_calls_in_half_open=1,
)
"""Opens when half of the last ten calls, and at least three, found the model away; one probe closes it, or has it wait twice as long."""

_NO_VERDICT: Final = (MoneyError, NotConfigured, CannotDo, LimitReached)
"""They say nothing of whether the model is there."""

_WHILE_PROBED_S: Final = 1.0
_STATES: Final[dict[State, Literal["open", "half_open"]]] = {State.OPEN: "open", State.HALF_OPEN: "half_open"}


class _Monotonic:
    def monotonic(self) -> float:
        return time.monotonic()


class _Unavailable:
    def is_failure(self, *, result: object, exception: Exception | None) -> bool:
        return isinstance(exception, ModelUnavailable) and not isinstance(exception, _NO_VERDICT)


class Breaker:
    """The breaker of one model.

    Args:
        always: it never opens: the model is in the process itself, and there is nobody to be spared.
        clock: for its waits; now: for what people read.
    """

    def __init__(
        self,
        model: str,
        *,
        always: bool = False,
        clock: Clock | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.always = always
        self._model = model
        self._now = now
        self._circuit = CircuitBreaker(
            name=model,
            config=_CONFIG,
            clock=clock or _Monotonic(),
            initial_state=State.DISABLED if always else State.CLOSED,
            classifier=_Unavailable(),
            unreachable_exceptions=_NO_VERDICT,
        )
        self._ended = asyncio.Event()
        self._unset = False
        self._succeeded_at: datetime | None = None
        self._failed_at: datetime | None = None
        self._failure = ""

    @property
    def health(self) -> ModelHealth:
        """How the model did lately. No content."""
        return ModelHealth(
            model=self._model,
            state="unset" if self._unset else _STATES.get(self._circuit.state, "ready"),
            last_success_at=self._succeeded_at,
            last_failure_at=self._failed_at,
            last_failure=self._failure,
        )

    def lacks(self, error: NotConfigured) -> None:
        """It could not be opened."""
        self._note(error)

    async def call(self, ask: Callable[[], Awaitable[Given]], *, patient: bool = False) -> Given:
        """What `ask` gives. A call that is cancelled says nothing of the model.

        Args:
            patient: while another call finds out whether the model is back, wait for what comes of that.

        Raises:
            CircuitOpen: the model is not asked; `retry_after_s` says when it will be.
            Exception: whatever `ask` raises.
        """
        while True:
            try:
                return await self._admitted(ask)
            except CircuitOpenError as error:
                if not patient or error.retry_after is not None:
                    raise self._open(error.retry_after) from None
            await self._ended.wait()

    async def _admitted(self, ask: Callable[[], Awaitable[Given]]) -> Given:
        """Raises CircuitOpenError where it is not admitted."""
        try:
            given = await self._circuit.call_async(ask)
        except CircuitOpenError:
            raise
        except BaseException as error:
            if isinstance(error, ModelError):
                self._note(error)
            self._wake()
            raise
        self._unset = False
        self._succeeded_at = self._now()
        self._wake()
        return given

    def _wake(self) -> None:
        ended, self._ended = self._ended, asyncio.Event()
        ended.set()

    def _open(self, retry_after_s: float | None) -> CircuitOpen:
        wait_s = _WHILE_PROBED_S if retry_after_s is None else retry_after_s
        text = f"{self._model} failed again and again: it is asked again in {math.ceil(wait_s)} s"
        return CircuitOpen(text, retry_after_s=wait_s)

    def _note(self, error: ModelError) -> None:
        self._unset = isinstance(error, NotConfigured)
        self._failed_at, self._failure = self._now(), type(error).__name__


class Breakers:
    """The breakers of a process: all its roles share them, one for each provider and model.

    Args:
        clock, now: as of `Breaker`.
    """

    def __init__(self, *, clock: Clock | None = None, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._now = now
        self._breakers: dict[str, Breaker] = {}

    def of(self, model: str) -> Breaker:
        """The breaker of `provider:model`; that of a model without a provider never opens."""
        if model not in self._breakers:
            provider, _, name = model.partition(":")
            always = not name or provider == "scripted"
            self._breakers[model] = Breaker(model, always=always, clock=self._clock, now=self._now)
        return self._breakers[model]

    def states(self) -> list[tuple[str, str]]:
        """The models whose breakers may open, each with its `ModelHealth.state`. For any thread."""
        return [(name, one.health.state) for name, one in list(self._breakers.items()) if not one.always]
