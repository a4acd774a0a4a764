"""What an agent raises to say how an attempt ended, and what it may be told.

AgentError
├── TaskRetryable         another attempt may succeed
│   ├── ToolFailed        a tool failed again after the model had been told that it had
│   └── ToolRoundsSpent   the model asked for tools again and again, and never replied
├── TaskPermanent         no attempt will succeed with this input
│   ├── QuestionExpired   nobody answered a question in time
│   └── ToolUnsure        a tool did not end in time, and doing it again might do it twice
└── TaskMisconfigured     a person must change something first
    └── ToolUnknown       the agent has no tool of that name
"""

__all__ = [
    "AgentError",
    "QuestionExpired",
    "TaskMisconfigured",
    "TaskPermanent",
    "TaskRetryable",
    "ToolFailed",
    "ToolRoundsSpent",
    "ToolUnknown",
    "ToolUnsure",
]


class AgentError(Exception):
    """Root of the errors that a handler raises on purpose."""


class TaskRetryable(AgentError):
    """Another attempt may succeed."""


class ToolFailed(TaskRetryable):
    """A tool failed again after the model had been told that it had; the text says why."""


class ToolRoundsSpent(TaskRetryable):
    """The model asked for tools again and again, and never replied; the text says how often."""


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


class ToolUnsure(TaskPermanent):
    """A tool did not end in time, and doing it again might do it twice: whether it happened is not known."""


class TaskMisconfigured(AgentError):
    """A person must change something first; the text says what."""


class ToolUnknown(TaskMisconfigured):
    """The agent has no tool of that name; the text says which it has."""
