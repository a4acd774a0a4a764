"""The models' errors, split by what the caller does next.

ModelError
├── ModelUnavailable    try again later, or the next model
│   ├── RateLimited     too many requests or tokens by us: not before `retry_after_s`
│   │   └── LimitReached  by our own settings: nothing was sent
│   ├── Overloaded      no room for anybody at the provider
│   ├── CircuitOpen     it failed again and again lately: it is left alone for a while
│   └── TimedOut        no whole answer within the time limit; it may have been paid for
├── BadReply            the reply does not fit the output type, after repairs: the next model may do better
├── Refused             the model declines to answer: the next model, or a person
├── Truncated           the reply reached the limit of its length: ask for less, or raise the limit
├── ContextOverflow     more was given than the model can read: give less, or a model that reads more
├── NotConfigured       a person must set something up first; the text says what
│   └── KeyMissing      no key for the provider
├── CannotDo            this model will never do this (an output type it has no means for, a request that its server refuses)
└── ScriptMismatch      a scripted model was asked for something else than its script says

No text and no attribute holds what was asked or answered, nor a key: providers' own messages echo both.
"""

from stretto.shared.contracts.usage import Usage, UsageByModel

__all__ = [
    "BadReply",
    "CannotDo",
    "CircuitOpen",
    "ContextOverflow",
    "KeyMissing",
    "LimitReached",
    "ModelError",
    "ModelUnavailable",
    "NotConfigured",
    "Overloaded",
    "RateLimited",
    "Refused",
    "ScriptMismatch",
    "TimedOut",
    "Truncated",
]


class ModelError(Exception):
    """Root of all errors of language models.

    Attributes:
        request_id: the provider's name for the request that failed.
        usage: what the call took up to here; it has to be paid for all the same.
        by_model: the part of it that each model of a chain took.
    """

    # On the class too: an error that a journal kept is made again without `__init__`.
    request_id: str | None = None
    usage: Usage = Usage()
    by_model: UsageByModel = UsageByModel()

    def __init__(self, message: str = "", *, request_id: str | None = None, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.request_id = request_id
        self.usage = usage or Usage()


class ModelUnavailable(ModelError):
    """The model does not answer now.

    Attributes:
        retry_after_s: when the provider wants to be asked again at the earliest, where it said so.
    """

    retry_after_s: float | None = None

    def __init__(
        self,
        message: str = "",
        *,
        retry_after_s: float | None = None,
        request_id: str | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id, usage=usage)
        self.retry_after_s = retry_after_s


class RateLimited(ModelUnavailable):
    """We send more requests or tokens than the provider allows us."""


class LimitReached(RateLimited):
    """We would send more than our settings allow: nothing was sent."""


class Overloaded(ModelUnavailable):
    """The provider has no room for anybody."""


class CircuitOpen(ModelUnavailable):
    """The model failed again and again lately, and is not asked now; `retry_after_s` says when it will be."""


class TimedOut(ModelUnavailable):
    """There was no whole answer within the time limit."""


class BadReply(ModelError):
    """The reply does not fit the output type."""


class Refused(ModelError):
    """The model, or a filter before it, declines to answer.

    Attributes:
        category: the provider's word for the reason, where it gave one.
    """

    category: str | None = None

    def __init__(
        self,
        message: str = "",
        *,
        category: str | None = None,
        request_id: str | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id, usage=usage)
        self.category = category


class Truncated(ModelError):
    """The reply reached the limit of its length before it was whole."""


class ContextOverflow(ModelError):
    """Instructions, question and documents are more than the model can read."""


class NotConfigured(ModelError):
    """A person must set something up before this model can be called."""


class KeyMissing(NotConfigured):
    """There is no key for the provider."""


class CannotDo(ModelError):
    """This model has no means for what is asked."""


class ScriptMismatch(ModelError):
    """A scripted model was asked for something else than its script says, or its script is used up."""
