"""Router: picks the playbook for a request, by name or by nearness to what the playbooks are for."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import hypot
from typing import Final

from stretto.bus.errors import BusError
from stretto.shared.contracts.request import Request
from stretto.shared.memory.errors import MemoryFailed
from stretto.supervisor.playbook_file import Playbook
from stretto.supervisor.playbooks import Playbooks

__all__ = ["Embed", "Route", "Router"]

Embed = Callable[[Sequence[str]], Awaitable[Sequence[Sequence[float]]]]
"""The vectors of some texts, one each. May raise MemoryFailed, BusError or TimeoutError."""

_READ_CHARS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Route:
    """Which playbook, and why, for people."""

    playbook: Playbook
    reason: str


class Router:
    """Picks playbooks.

    Attributes:
        floor: nearness (cosine) below which no playbook fits and the default one is taken.
        margin: by how much another playbook must be nearer than the default one. Both are set for MiniLM's vectors, where questions about
            some detail come out near 0 to every description, and requests for an overview at 0.4 to 0.7 to `digest`.
    """

    def __init__(
        self, *, playbooks: Playbooks, embed: Embed | None = None, floor: float = 0.4, margin: float = 0.15
    ) -> None:
        self.floor = floor
        self.margin = margin
        self._playbooks = playbooks
        self._embed = embed
        self._vectors: dict[str, Sequence[float]] = {}

    async def route(self, request: Request) -> Route:
        """The playbook for this request.

        Raises:
            UnknownPlaybook: it names one that is not there.
        """
        if request.playbook is not None:
            return Route(self._playbooks.get(request.playbook), "named in the request")
        default = self._playbooks.default
        if len(self._playbooks.names) == 1:
            return Route(default, "the only playbook")
        if self._embed is None:
            return Route(default, "the default: requests are not compared with descriptions here")
        try:
            nearness = await self._nearness(request.text[:_READ_CHARS], self._embed)
        except (MemoryFailed, BusError, TimeoutError) as error:
            return Route(default, f"the default: the request could not be compared with descriptions ({error})")
        name, best = max(nearness.items(), key=lambda one: one[1])
        if name == default.name:
            return Route(default, f"nearest to the request ({best:.2f})")
        if best < self.floor:
            return Route(default, f"the default: no description is near to the request ({name} {best:.2f})")
        if best - nearness[default.name] < self.margin:
            return Route(default, f"the default: {name} is hardly nearer to the request ({best:.2f})")
        return Route(self._playbooks.get(name), f"nearest to the request ({best:.2f})")

    async def _nearness(self, text: str, embed: Embed) -> dict[str, float]:
        unknown = [playbook for playbook in self._playbooks if playbook.name not in self._vectors]
        vector, *found = await embed([text, *(playbook.description for playbook in unknown)])
        self._vectors |= {playbook.name: one for playbook, one in zip(unknown, found, strict=True)}
        return {playbook.name: _cosine(vector, self._vectors[playbook.name]) for playbook in self._playbooks}


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    lengths = hypot(*one) * hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / lengths if lengths else 0.0
