"""Agent: the one class that users subclass."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar, get_args, get_origin

from pydantic import BaseModel

from stretto.agents.context import TaskContext
from stretto.bus.subjects import check_token
from stretto.shared.tools.protocol import Tool

__all__ = ["Agent"]

In = TypeVar("In", bound=BaseModel)
Out = TypeVar("Out", bound=BaseModel)


class Agent(ABC, Generic[In, Out]):
    """One kind of work.

    A subclass names its types in its bases and sets `role` and `description`:

        class Translator(Agent[TranslateTask, Translation]):
            role = "translator"
            description = "Translates a text and keeps names and figures as they are."

            async def handle(self, task: TranslateTask, ctx: TaskContext) -> Translation: ...

    The worker does the rest: it pulls tasks, keeps the lease, records every effect, stops at the deadline, validates input and output,
    publishes the result once, and acknowledges. One instance serves all tasks of its process, several at a time: keep nothing of a task in
    `self`.

    Attributes:
        slots: how many tasks one process runs at once.
        tools: what it may use through `ctx.tools`.
    """

    role: ClassVar[str]
    description: ClassVar[str]
    slots: ClassVar[int] = 4
    tools: ClassVar[Sequence[Tool]] = ()

    input_type: type[In]
    output_type: type[Out]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for base in getattr(cls, "__orig_bases__", ()):
            origin = get_origin(base)
            if isinstance(origin, type) and issubclass(origin, Agent):
                types = get_args(base)
                if len(types) == 2 and all(isinstance(t, type) and issubclass(t, BaseModel) for t in types):
                    cls.input_type, cls.output_type = types
        if "role" in cls.__dict__:
            if not isinstance(cls.role, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's class may say anything
                raise TypeError(f"{cls.__name__}.role is {cls.role!r}: it must be a string")
            check_token(cls.role, "role")
            if cls.slots < 1:
                raise ValueError(f"{cls.__name__}.slots is {cls.slots}: at least 1 is needed")
            if not getattr(cls, "description", "").strip():
                raise TypeError(f"{cls.__name__}.description is missing: planners and people choose agents by it")
            if not hasattr(cls, "output_type"):
                raise TypeError(f"{cls.__name__} must name its types: class {cls.__name__}(Agent[Input, Output])")

    @abstractmethod
    async def handle(self, task: In, ctx: TaskContext) -> Out:
        """Do one task.

        It may be run several times for one attempt: effects that are on record are not done again (see `TaskContext`). It is cancelled at
        the task's deadline, when the run is over, and while it waits for a person, who may take days. What it raises ends the attempt: see
        `stretto.agents.errors` for how to say whether another attempt makes sense.
        """
