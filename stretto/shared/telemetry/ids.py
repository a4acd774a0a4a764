"""Ids: of the spans that an SDK's provider starts for us, chosen where they must be, else random."""

import os

from opentelemetry.sdk.trace.id_generator import IdGenerator

from stretto.bus.tracing import chosen_ids

__all__ = ["ChosenIds"]


class ChosenIds(IdGenerator):
    """The ids that `stretto.bus.tracing.chosen_ids` says, where it says any. The others come from the system's randomness: Python's own
    can be seeded, or shared by forks.
    """

    def generate_span_id(self) -> int:
        chosen = chosen_ids.get()
        return (chosen.span if chosen else 0) or _random_id(8)

    def generate_trace_id(self) -> int:
        chosen = chosen_ids.get()
        return (chosen.trace if chosen else 0) or _random_id(16)


def _random_id(size_bytes: int) -> int:
    """Never 0, which stands for none."""
    return int.from_bytes(os.urandom(size_bytes), "big") or 1
