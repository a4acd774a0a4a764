"""Replay: what an attempt has on record, handed back to the handler in the order in which it came the first time."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence

from stretto.bus.errors import JournalMismatch
from stretto.bus.step import Identity, Intent, Step

__all__ = ["Replay"]

_TURNS = 8
"""Turns of the event loop before each outcome, so that the handler gets as far before it as it did the first time."""


class Replay:
    """Finds what is on record for an effect, and says when the handler may have it.

    Branches of a handler that run side by side may ask in another order than the first time: an effect is known by its identity, not by its
    position. But outcomes are handed back one after another in the order of the record, and nothing new begins before all of them are:
    recorded effects never wait for one that is not recorded. Whoever waits in vain asks for something else than the first time.

    Args:
        steps: in the order in which they were stored.
        intents: of effects without a step.
        settled: positions of the questions that are settled, in the order in which they were asked.
        grace_s: how long an effect waits for the rest of the handler, which may do other things than effects in between.
    """

    def __init__(
        self, *, steps: Sequence[Step], intents: Sequence[Intent], settled: Sequence[int], grace_s: float
    ) -> None:
        self._grace_s = grace_s
        entries: list[Step | Intent] = [*steps, *intents]
        self._by_identity: dict[Identity, Step | Intent] = {}
        for entry in entries:  # of two on one effect, as two processes side by side may leave them, the first counts
            self._by_identity.setdefault(entry.identity, entry)
        counting = sorted(self._by_identity.values(), key=lambda entry: entry.position)
        self._unclaimed = {entry.position: entry for entry in counting}
        self._order = deque(position for position in _order(steps, settled) if position in self._unclaimed)
        self._ordered = set(self._order)
        self._turns: dict[int, asyncio.Future[None]] = {}
        self._fresh: list[asyncio.Future[None]] = []
        self._over = not entries
        self._progress = 0
        self._pausing = False

    @property
    def rest(self) -> Mapping[int, Step | Intent]:
        """What nobody has asked for so far, by position."""
        return self._unclaimed

    def claim(self, identity: Identity) -> Step | Intent | None:
        """What is on record of this effect."""
        entry = self._by_identity.get(identity)
        if entry is not None:
            del self._unclaimed[entry.position]
            self._progress += 1
            self._pause()
        return entry

    async def turn(self, step: Step) -> None:
        """Wait until the outcome of a claimed step may be handed back.

        Raises:
            JournalMismatch: what was recorded before it is not asked for.
        """
        if step.position not in self._ordered:
            return
        turn = self._turns[step.position] = asyncio.get_running_loop().create_future()
        try:
            self._pause()
            await self._wait(turn, step.identity)
        finally:
            del self._turns[step.position]
            if not turn.done():  # given up: it must not hold up the others
                self._order.remove(step.position)
                self._pause()

    async def finished(self, asked: Identity) -> None:
        """Wait until all that is on record has been asked for and handed back: only then may something new begin.

        Raises:
            JournalMismatch: something on record is not asked for.
        """
        if self._over:
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._fresh.append(waiting)
        await self._wait(waiting, asked)

    async def _wait(self, future: asyncio.Future[None], asked: Identity) -> None:
        while not future.done():
            before = self._progress
            await asyncio.wait({future}, timeout=self._grace_s)
            if not future.done() and self._progress == before and self._unclaimed:
                position, entry = next(iter(self._unclaimed.items()))
                raise JournalMismatch(position, str(entry.identity), str(asked))

    def _pause(self) -> None:
        """Let the handler get on before the next outcome is handed back."""
        if not self._pausing:
            self._pausing = True
            self._wait_turns(_TURNS)

    def _wait_turns(self, left: int) -> None:
        if left:
            asyncio.get_running_loop().call_soon(self._wait_turns, left - 1)
            return
        self._pausing = False
        if self._order and self._order[0] in self._turns:
            _let_go(self._turns[self._order.popleft()])
            self._progress += 1
            self._pause()
        elif not self._unclaimed and not self._order:
            self._over = True
            for waiting in self._fresh:
                _let_go(waiting)


def _order(steps: Sequence[Step], settled: Sequence[int]) -> list[int]:
    """Positions in the order in which their outcomes were known: an answer behind what was recorded while it was waited for."""
    places = [
        (step.resumption, 0, number, step.position)
        for number, step in enumerate(steps)
        if step.kind != "ask" and step.end != "abandoned"
    ]
    asked = {step.position for step in steps if step.kind == "ask"}
    places += [(number, 1, 0, position) for number, position in enumerate(settled) if position in asked]
    return [place[-1] for place in sorted(places)]


def _let_go(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
