"""metered: whether anybody wants to know."""

from opentelemetry import metrics

__all__ = ["is_metered"]


def is_metered() -> bool:
    """Whether this process's metrics go anywhere: else what is read for them is read for nothing."""
    provider = type(metrics.get_meter_provider())
    return not provider.__module__.startswith("opentelemetry.metrics.")  # the API's own, which stand for none
