"""The models' errors, split by what the caller does next.

ModelError
├── ModelUnavailable    try again, or the next model
├── BadReply            the reply does not fit the output type, after repairs
├── CannotDo            this model will never do this (an output type it has no means for)
└── ScriptMismatch      a scripted model was asked for something else than its script says
"""


class ModelError(Exception):
    """Root of all errors of language models."""


class ModelUnavailable(ModelError):
    """The model does not answer now."""


class BadReply(ModelError):
    """The reply does not fit the output type."""


class CannotDo(ModelError):
    """This model has no means for what is asked."""


class ScriptMismatch(ModelError):
    """A scripted model was asked for something else than its script says, or its script is used up."""
