"""Leases: the deliveries that stand for a shard's open runs. What a supervisor that dies leaves half-done comes again with them."""

import contextlib
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Final

from stretto.bus.delivery import Delivery
from stretto.bus.errors import BusError
from stretto.bus.subjects import RunKey

__all__ = ["Lease", "Leases"]

_COME_BACK_S: Final = 0.05
_NO_HEADERS: Final[dict[str, str]] = {}


@dataclass(slots=True)
class Lease:
    """What stands for one open run.

    Attributes:
        deliveries: left unacknowledged, and kept without their bytes.
        origin_seq: the request's sequence: the run's log begins there.
        watched: the run is to be looked at when its lease is next renewed: not all of its timers are set yet, or it waits for a role.
    """

    deliveries: tuple[Delivery, ...]
    origin_seq: int
    watched: bool = True


class Leases:
    """The leases of one shard's open runs, as far as this process has them.

    Any message of a run may be its lease: its request, or whatever woke it.
    """

    def __init__(self) -> None:
        self._leases: dict[RunKey, Lease] = {}

    def __len__(self) -> int:
        return len(self._leases)

    def of(self, key: RunKey) -> Lease | None:
        """The run's lease, if this process has it."""
        return self._leases.get(key)

    def watched(self) -> list[RunKey]:
        """The runs to look at."""
        return [key for key, lease in self._leases.items() if lease.watched]

    def watch_all(self) -> None:
        """Have every run looked at."""
        for lease in self._leases.values():
            lease.watched = True

    @contextlib.contextmanager
    def holding(self, key: RunKey, delivery: Delivery, origin_seq: int) -> Generator[bool]:
        """Make the delivery the run's lease, if it needs one, and say whether it did; an error in the block takes that back.

        A message that came more than once may still be in the hands of the process that had it before, which may acknowledge it: alone it
        is no lease to rely on, so the next one is held beside it.
        """
        lease = self._leases.setdefault(key, Lease((), origin_seq))
        others = tuple(one for one in lease.deliveries if one.seq != delivery.seq)
        hold = len(others) < len(lease.deliveries) or all(one.deliveries > 1 for one in others)
        if hold:
            lease.deliveries = (*others, replace(delivery, subject="", data=b"", headers=_NO_HEADERS))
        try:
            yield hold
        except BaseException:
            if hold:
                self._drop(key, delivery)
            raise

    async def renew(self) -> None:
        """Keep all leases for another `run_lease_s` from now.

        Raises:
            Unreachable: the bus is away; the leases hold, or other supervisors get them.
        """
        for lease in list(self._leases.values()):
            for delivery in lease.deliveries:
                await delivery.renew()

    async def release(self, key: RunKey) -> None:
        """Acknowledge what stands for the run: it is over, or its timers stand for it."""
        lease = self._leases.pop(key, None)
        for delivery in lease.deliveries if lease else ():
            await delivery.ack()

    async def give_back(self) -> None:
        """Let go of all: the server delivers them to whoever serves the shard now."""
        leases = list(self._leases.values())
        self._leases.clear()
        with contextlib.suppress(BusError):  # away: they come to another supervisor when they have run out
            for lease in leases:
                for delivery in lease.deliveries:
                    await delivery.nak(_COME_BACK_S)

    def _drop(self, key: RunKey, delivery: Delivery) -> None:
        lease = self._leases.get(key)
        if lease is None:
            return
        lease.deliveries = tuple(one for one in lease.deliveries if one.seq != delivery.seq)
        if not lease.deliveries:
            del self._leases[key]
