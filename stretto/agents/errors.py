"""What an agent raises to say how an attempt ended, and what it may be told.

AgentError
├── TaskRetryable         another attempt may succeed
├── TaskPermanent         no attempt will succeed with this input
│   └── QuestionExpired   nobody answered a question in time
└── TaskMisconfigured     a person must change something first
    └── ToolUnknown       the agent has no tool of that name
"""

__all__ = ["AgentError", "QuestionExpired", "TaskMisconfigured", "TaskPermanent", "TaskRetryable", "ToolUnknown"]


class AgentError(Exception):
    """Root of the errors that a handler raises on purpose."""


class TaskRetryable(AgentError):
    """Another attempt may succeed."""


class TaskPermanent(AgentError):
    """No attempt will succeed with this input."""


class QuestionExpired(TaskPermanent):
    """Nobody answered a question in time.

    Attributes:
        question: its id.
    """

    def __init__(self, question: str) -> None:
        super().__init__(f"nobody answered question {question} in time")
        self.question = question


class TaskMisconfigured(AgentError):
    """A person must change something first; the text says what."""


class ToolUnknown(TaskMisconfigured):
    """The agent has no tool of that name; the text says which it has."""
