"""In hand: the messages that a consumer works on, each with its handler and its lease, until it is settled or given back."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import assert_never

from stretto.bus.delivery import Ack, Delivery, Disposition, Hold, Nak
from stretto.bus.errors import BusError

__all__ = ["Handler", "InHand"]

_log = logging.getLogger(__name__)
_GIVE_BACK_S = 0.1
_SPARE_S = 2.0
"""How long a message waits here for a slot before it is given back: others may have a free one."""
_UNWIND_S = 2.0
"""How long a handler that is cancelled may take to end before its message is given back all the same."""

Handler = Callable[[Delivery], Awaitable[Disposition]]


@dataclass(slots=True, eq=False)
class _Work:
    """A message, and what is done with it."""

    delivery: Delivery
    task: asyncio.Task[None] | None = None
    waits: bool = False


class InHand:
    """Takes messages and has `handler` work on them, at most `slots` at once. `on_change` is called when one is done with.

    Leases are renewed by this process's event loop: a handler that computes without an `await` for longer than the lease loses its
    message to somebody else, and is warned of. Let it compute in a thread (`asyncio.to_thread`).
    """

    def __init__(self, *, handler: Handler, slots: int, renew_s: float, on_change: Callable[[], None]) -> None:
        self._handler = handler
        self._slots = asyncio.Semaphore(slots)
        self._renew_s = renew_s
        self._on_change = on_change
        self._works: set[_Work] = set()
        self._full = False

    def __len__(self) -> int:
        return len(self._works)

    def take(self, delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        """Work on a message, in a task of `tasks`. After `take_no_more` it is given back."""
        if self._full:
            tasks.create_task(_give_back(delivery))
            return
        work = _Work(delivery)
        self._works.add(work)
        work.task = tasks.create_task(self._do(work))

    def take_no_more(self) -> None:
        """Give back what no handler has begun; the others go on."""
        self._full = True
        for work in self._works:
            if work.task is not None and work.waits:
                work.task.cancel()

    async def break_off(self) -> None:
        """Cancel all handlers; give back also the messages of those that do not care."""
        working = [work.task for work in self._works if work.task is not None]
        for task in working:
            task.cancel()
        if working:
            await asyncio.wait(working, timeout=_UNWIND_S)
        while self._works:
            left = self._works.pop()
            if left.task is not None and not left.task.done():  # done without a word is what never ran
                _log.warning("%s: its handler goes on though it was cancelled", left.delivery.subject)
            await _give_back(left.delivery)

    async def keep(self) -> None:
        """Renew the leases until cancelled: one task for all costs a message nothing."""
        while self._renew_s:
            began = _now()
            await asyncio.sleep(self._renew_s)
            if self._works and _now() - began > 2 * self._renew_s:
                _log.warning(
                    "nothing went on in this process for %.1f s, so no lease was renewed: a handler computes without an "
                    "await (let it use asyncio.to_thread), or the machine was asleep",
                    _now() - began - self._renew_s,
                )
            for work in list(self._works):
                with contextlib.suppress(BusError):  # away for now: the lease holds, or somebody else gets the message
                    await work.delivery.renew()

    async def _do(self, work: _Work) -> None:
        delivery = work.delivery
        try:
            if self._full or not await self._slot(work):
                await _give_back(delivery)
                return
            try:
                await _settle(delivery, await self._handle(delivery))
            finally:
                self._slots.release()
        except asyncio.CancelledError:
            await _give_back(delivery)
            raise
        except BusError as error:
            _log.warning("%s: could not be acknowledged (%s); it will come again", delivery.subject, error)
        finally:
            self._works.discard(work)
            self._on_change()

    async def _slot(self, work: _Work) -> bool:
        """Take a slot. More messages than slots come after a reconnect, when pulls of before are answered too."""
        if not self._slots.locked():
            return await self._slots.acquire()
        work.waits = True
        try:
            async with asyncio.timeout(_SPARE_S):
                return await self._slots.acquire()
        except TimeoutError:
            return False
        finally:
            work.waits = False

    async def _handle(self, delivery: Delivery) -> Disposition:
        """Run the handler; what it did not foresee is logged and tried again later."""
        try:
            return await self._handler(delivery)
        except Exception:  # noqa: BLE001 (the edge of a handler: one bad message must not end the loop)
            _log.exception("%s: the handler failed; it will come again", delivery.subject)
            return Nak(delay_s=5.0)


async def _settle(delivery: Delivery, disposition: Disposition) -> None:
    match disposition:
        case Ack():
            await delivery.ack()
        case Nak(delay_s):
            await delivery.nak(delay_s)
        case Hold():
            pass
        case _:
            assert_never(disposition)


async def _give_back(delivery: Delivery) -> None:
    with contextlib.suppress(BusError):  # disconnected for long: it comes again when its lease ends
        await delivery.nak(_GIVE_BACK_S)


def _now() -> float:
    return asyncio.get_running_loop().time()
