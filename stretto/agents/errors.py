"""What an agent raises to say how an attempt ended.

AgentError
├── TaskRetryable       another attempt may succeed
├── TaskPermanent       no attempt will succeed with this input
└── TaskMisconfigured   a person must change something first
"""


class AgentError(Exception):
    """Root of the errors that a handler raises on purpose."""


class TaskRetryable(AgentError):
    """Another attempt may succeed."""


class TaskPermanent(AgentError):
    """No attempt will succeed with this input."""


class TaskMisconfigured(AgentError):
    """A person must change something first; the text says what."""
