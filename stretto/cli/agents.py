"""Agents: from a name on the command line to an agent."""

import importlib
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, cast

from stretto.agents.agent import Agent
from stretto.cli.errors import UsageFailed
from stretto.shared.prompt import Prompts

__all__ = ["BUILT_IN", "TEAM", "load_agent"]

TEAM: Final = ("researcher", "writer", "reviewer", "escalation")
"""The specialists that every system starts with."""

_OURS: Final = (str(Path(__file__).parents[1]), str(Path(importlib.__file__).parent))
_SERVICES: Final = ("supervisor", "memory")

BUILT_IN: Final[Mapping[str, str]] = {
    "researcher": "stretto.agents.researcher:Researcher",
    "writer": "stretto.agents.writer:Writer",
    "reviewer": "stretto.agents.reviewer:Reviewer",
    "escalation": "stretto.agents.escalation:EscalationAgent",
    "planner": "stretto.supervisor.planner:Planner",
}


def load_agent(name: str, *, prompts: Prompts | None = None) -> Agent[Any, Any]:
    """The agent of a built-in name, or of `module:Class`, where the module may lie in the current folder.

    Args:
        prompts: the deployment's, for a built-in one.

    Raises:
        UsageFailed: there is none; the text says what was looked for.
    """
    path = BUILT_IN.get(name, name)
    module_name, colon, class_name = path.partition(":")
    if not module_name or not colon or not class_name:
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
    except Exception as error:  # whatever the user's own module raises
        raise UsageFailed(f"{module_name} cannot be imported: {_told(error)}") from error
    found: Any = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Agent)):
        raise UsageFailed(f"{path} is no agent: name a class that is derived from stretto.agents.Agent")
    kind: type[Agent[Any, Any]] = found  # pyright: ignore[reportUnknownVariableType]  # a class knows nothing of its type arguments
    if not hasattr(kind, "role"):
        raise UsageFailed(f"{path} has no role: set `role` and `description` on the class")
    if kind.role in _SERVICES:
        raise UsageFailed(f"{path} has the role {kind.role!r}, which is a service of Stretto: choose another")
    try:
        make = cast("Callable[..., Agent[Any, Any]]", kind)
        return make(prompts=prompts) if name in BUILT_IN else make()  # every one of ours takes them
    except Exception as error:  # whatever the user's own class raises
        raise UsageFailed(f"{path} cannot be made without arguments: {_told(error)}") from error


def _told(error: Exception) -> str:
    """What a user's own code raised, and where in it."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith((*_OURS, "<"))]
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"
