"""all_failed: the one error of several models that were asked the same, of which none gave a reply."""

from collections.abc import Iterable, Sequence

from stretto.shared.contracts.usage import Usage
from stretto.shared.models.errors import BadReply, CannotDo, CircuitOpen, ModelError, ModelUnavailable, NotConfigured

__all__ = ["all_failed", "reason_of"]


def reason_of(error: ModelError) -> str:
    """As `Hop.reason`."""
    return "circuit_open" if isinstance(error, CircuitOpen) else type(error).__name__


def all_failed(errors: Sequence[ModelError], names: Iterable[str], usage: Usage) -> ModelError:
    """An error that names each model with its reason, of the kind that tells the owner of retries what to do.

    NotConfigured if that is all there is; ModelUnavailable if another try may help, with the smallest `retry_after_s`; the errors' own
    kind where it is the same; else CannotDo. The error of a single model is its own.

    Args:
        names: the models', in the order of the errors.
        usage: what they took.
    """
    if len(errors) == 1:
        return errors[0]
    told = "; ".join(f"{name}: {reason_of(error)}: {error}" for name, error in zip(names, errors, strict=True))
    message = f"none of {len(errors)} models gave a reply: {told}"
    kinds = {type(error) for error in errors}
    if all(isinstance(error, NotConfigured) for error in errors):
        return NotConfigured(message, usage=usage)
    if any(isinstance(error, ModelUnavailable) for error in errors):
        return ModelUnavailable(message, retry_after_s=_soonest_s(errors), usage=usage)
    if BadReply in kinds:
        return BadReply(message, usage=usage)
    return kinds.pop()(message, usage=usage) if len(kinds) == 1 else CannotDo(message, usage=usage)


def _soonest_s(errors: Sequence[ModelError]) -> float | None:
    """When the first of them may do better; None where one may at any time."""
    waits_s: list[float] = []
    for error in errors:
        if isinstance(error, (ModelUnavailable, BadReply)):  # the others would say the same again
            wait_s = error.retry_after_s if isinstance(error, ModelUnavailable) else None
            if wait_s is None:
                return None
            waits_s.append(wait_s)
    return min(waits_s)
