"""Rates: who asks before each request to a provider whether it may be sent now."""

from typing import Protocol

__all__ = ["Rates"]


class Rates(Protocol):
    """The limits of the providers, shared by all processes of a deployment."""

    async def acquire(self, provider: str, *, tokens: int, limit_s: float) -> None:
        """Wait until one more request may be sent to the provider; at once where it has no limits.

        Args:
            provider: the name before the colon of `PROVIDER:MODEL`.
            tokens: about as many as it will take, read and written together.
            limit_s: how long it may wait.

        Raises:
            LimitReached: there is no room within `limit_s`; `retry_after_s` says when there will be.
        """
        ...
