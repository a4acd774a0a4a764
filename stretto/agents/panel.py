"""Panel: the models that a task asks side by side, opened."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from stretto.agents.errors import TaskMisconfigured
from stretto.shared.contracts.ensemble import Ensemble
from stretto.shared.models.protocol import Model
from stretto.shared.prompt import Prompts

__all__ = ["Panel", "PanelOf", "no_panel"]


@dataclass(frozen=True, slots=True)
class Panel:
    """An `Ensemble` with its models.

    Attributes:
        models: in the order of the ensemble's.
        judge: picks where `choose` is `best_of`.
        prompts: the deployment's, for the judge.
    """

    models: tuple[Model, ...]
    judge: Model
    choose: Literal["vote", "best_of"] = "vote"
    prompts: Prompts = field(default_factory=Prompts)


PanelOf = Callable[[Ensemble], Panel]
"""Opens the models that an ensemble names. Raises TaskMisconfigured where it names one that there cannot be."""


def no_panel(_: Ensemble) -> Panel:
    """For agents whose process opens no models by name."""
    raise TaskMisconfigured(
        "the plan asks several models for this task, and this agent has only its own: give its Worker a panel_of"
    )
