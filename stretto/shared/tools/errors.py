"""Why a call of a tool gave no result. The texts are made for people and models, and hold no arguments and no secrets.

ToolError
├── ToolArgumentsWrong   the arguments do not fit the tool's schema: nothing was called
├── ToolForbidden        the tool may not do that: an address, a file or a size that its settings do not allow
├── ToolResultWrong      what it returned does not fit the schema that it promised
├── ToolTimedOut         it did not end within its time
└── ToolUnavailable      what stands behind it does not answer, or answers with an error
"""

__all__ = ["ToolArgumentsWrong", "ToolError", "ToolForbidden", "ToolResultWrong", "ToolTimedOut", "ToolUnavailable"]


class ToolError(Exception):
    """Root of the errors of tools; the text says what is wrong, and where."""


class ToolArgumentsWrong(ToolError):
    """The arguments do not fit the tool's schema: nothing was called."""


class ToolForbidden(ToolError):
    """The tool may not do that."""


class ToolResultWrong(ToolError):
    """What the tool returned does not fit the schema that it promised."""


class ToolTimedOut(ToolError):
    """The tool did not end within its time; what it was doing may have happened all the same."""


class ToolUnavailable(ToolError):
    """What stands behind the tool does not answer, or answers with an error."""
