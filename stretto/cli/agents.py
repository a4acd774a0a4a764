"""Agents: from a name on the command line to an agent."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from stretto.agents.agent import Agent
from stretto.cli.errors import UsageFailed

__all__ = ["BUILT_IN", "TEAM", "load_agent"]

TEAM: Final = ("researcher", "writer", "reviewer", "escalation")
"""The specialists that every system starts with."""

BUILT_IN: Final[Mapping[str, str]] = {
    "researcher": "stretto.agents.researcher:Researcher",
    "writer": "stretto.agents.writer:Writer",
    "reviewer": "stretto.agents.reviewer:Reviewer",
    "escalation": "stretto.agents.escalation:EscalationAgent",
    "planner": "stretto.supervisor.planner:Planner",
}


def load_agent(name: str) -> Agent[Any, Any]:
    """The agent of a built-in name, or of `module:Class`, where the module may lie in the current folder.

    Raises:
        UsageFailed: there is none; the text says what was looked for.
    """
    path = BUILT_IN.get(name, name)
    module_name, colon, class_name = path.partition(":")
    if not colon or not class_name:
        raise UsageFailed(f"there is no agent {name!r}: use one of {', '.join(BUILT_IN)}, or your own as module:Class")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise UsageFailed(f"{module_name} needs the module {error.name}, which is not installed") from error
        raise UsageFailed(f"there is no module {module_name} in {here} or among what is installed") from error
    except (ImportError, SyntaxError, TypeError, ValueError) as error:
        raise UsageFailed(f"{module_name} cannot be imported: {error}") from error
    found: Any = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Agent)):
        raise UsageFailed(f"{path} is no agent: name a class that is derived from stretto.agents.Agent")
    kind: type[Agent[Any, Any]] = found  # pyright: ignore[reportUnknownVariableType]  # a class knows nothing of its type arguments
    if not hasattr(kind, "role"):
        raise UsageFailed(f"{path} has no role: set `role` and `description` on the class")
    try:
        return kind()
    except TypeError as error:
        raise UsageFailed(f"{path} cannot be made without arguments: {error}") from error
