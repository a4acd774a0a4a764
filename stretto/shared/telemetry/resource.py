"""Resource: which process it is that tells something."""

from opentelemetry.sdk.resources import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)

from stretto import __version__

__all__ = ["resource_of"]


def resource_of(service: str, instance: str) -> Resource:
    """A process of a service (`supervisor`, `researcher`, ...). What the variables OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say of it
    holds instead, or besides.
    """
    ours = {SERVICE_NAME: f"stretto-{service}", SERVICE_VERSION: __version__, SERVICE_INSTANCE_ID: instance}
    return Resource.create(ours).merge(OTELResourceDetector().detect())
