"""Moment: all that `stretto top` shows at one time."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from stretto.bus.agent_card import AgentCard, ModelHealth
from stretto.cli.top_pulse import Happening, Rate
from stretto.shared.figures import Figures

__all__ = ["Moment", "health_of"]


@dataclass(frozen=True, slots=True)
class Moment:
    """A deployment as it is shown.

    Attributes:
        at: where this program runs.
        url, prefix: where it is, as it may be shown.
        rates: by role, of the last minute; None where nobody listened.
        notice: what is wrong with all this, for people; empty where nothing is.
    """

    at: datetime
    url: str
    prefix: str
    figures: Figures
    cards: Sequence[AgentCard]
    rates: Mapping[str, Rate] | None = None
    happenings: Sequence[Happening] = field(default=())
    notice: str = ""

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        figures = self.figures
        lately = figures.lately
        return {
            "at": figures.at.isoformat(),
            "server": self.url,
            "prefix": self.prefix,
            "runs": asdict(figures.runs),
            "dead_letters": figures.dead_letters,
            "lately": lately
            and {
                "since": lately.since.isoformat(),
                "ended": dict(lately.ended),
                "failed_tasks": lately.failed_tasks,
                "retries": lately.retries,
                "usage": lately.usage.model_dump(mode="json"),
            },
            "roles": [
                asdict(one) | {"models": [health.model_dump(mode="json") for health in health_of(one.role, self.cards)]}
                for one in figures.roles
            ],
            "agents": [
                card.model_dump(
                    mode="json", include={"role", "instance", "version", "started_at", "slots", "busy", "health"}
                )
                for card in self.cards
            ],
        }


_WORST = {"ready": 0, "half_open": 1, "open": 2, "unset": 3}


def health_of(role: str, cards: Sequence[AgentCard]) -> list[ModelHealth]:
    """The models that a role thinks with, in the order in which they are asked: how each does where it does worst."""
    found: dict[str, ModelHealth] = {}
    for card in cards:
        if card.role != role:
            continue
        for one in card.health or [ModelHealth(model=name) for name in card.models]:
            known = found.get(one.model)
            if known is None or _WORST[one.state] > _WORST[known.state]:
                found[one.model] = one
    return list(found.values())
