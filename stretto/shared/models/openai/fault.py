"""fault: an error of the openai SDK as a fault, for both of its APIs."""

import httpx2
import openai

from stretto.shared.models.fault import CONNECTION, GARBLED, TIMEOUT, Fault

__all__ = ["openai_fault"]


def openai_fault(error: Exception) -> Fault:
    """What went wrong."""
    match error:
        case openai.APIStatusError():
            return Fault.of(error.status_code, error.body, error.response.headers)
        case openai.APITimeoutError() | httpx2.TimeoutException():
            return TIMEOUT
        case openai.APIConnectionError() | httpx2.HTTPError():
            return CONNECTION
        case openai.APIError() if error.body is not None:  # an error inside a stream
            return Fault.of(None, error.body)
        case _:
            return GARBLED
