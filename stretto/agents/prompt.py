"""Prompt: instructions for a model, kept as one Jinja template a file beside the agents."""

from stretto.shared import prompt
from stretto.shared.prompt import Prompt

__all__ = ["render_prompt"]


def render_prompt(name: str, *, package: str = "stretto.agents", **values: object) -> Prompt:
    """As `stretto.shared.prompt.render_prompt`; the agents' own unless another package is named."""
    return prompt.render_prompt(name, package=package, **values)
