"""reasoning: whether there is anybody to think a task over with, or only something that extracts."""

from typing import Final

__all__ = ["can_reason"]

_EXTRACTS: Final = "offline"


def can_reason(model: str) -> bool:
    """Whether the model of this name can plan and judge: all can, but for `offline`, which follows no instructions.

    A chain goes by its first choice. Where `offline` stands in for a model in the middle of a task, its replies leave out what only a model
    can tell, and the specialists go on without.
    """
    return any(name != _EXTRACTS for name in model.split(", "))  # of several that are asked side by side, any
