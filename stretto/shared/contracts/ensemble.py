"""Ensemble: several models are asked the same side by side, and one reply is taken."""

from typing import Annotated, Literal

from pydantic import Field

from stretto.bus.message import Value

__all__ = ["Ensemble"]


class Ensemble(Value):
    """How a task asks several models.

    Attributes:
        models: each `provider:model`, `offline` or `scripted:FILE`.
        choose: `vote` takes what most of them say (of several the surest, then the first), `best_of` what the reviewer's model finds best.
    """

    models: Annotated[tuple[str, ...], Field(min_length=2, max_length=9)]
    choose: Literal["vote", "best_of"] = "vote"
