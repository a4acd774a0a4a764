"""Measures that this process takes while a test looks: a provider of the SDK that keeps them in memory."""

import contextlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from opentelemetry import metrics
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    InMemoryMetricReader,
    NumberDataPoint,
)

__all__ = ["Measured", "Point", "measuring"]


@dataclass(frozen=True)
class Point:
    """What a histogram got with one set of labels."""

    labels: Mapping[str, Any]
    count: int
    sum: float
    bounds: tuple[float, ...]


@dataclass
class Measured:
    """What was measured, by name; there at the end of the block.

    Attributes:
        points: of histograms; numbers: of counters and gauges, with their labels.
    """

    points: dict[str, list[Point]] = field(default_factory=dict)
    numbers: dict[str, list[tuple[dict[str, Any], float]]] = field(default_factory=dict)


@contextlib.contextmanager
def measuring() -> Generator[Measured]:
    """Take the measures of the block, and of nothing before it."""
    reader = _reader()
    reader.get_metrics_data()
    measured = Measured()
    yield measured
    found = reader.get_metrics_data()
    for of_resource in found.resource_metrics if found else ():
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                numbers = [one for one in metric.data.data_points if isinstance(one, NumberDataPoint)]
                measured.numbers[metric.name] = [(dict(one.attributes or {}), one.value) for one in numbers]
                points = [one for one in metric.data.data_points if isinstance(one, HistogramDataPoint)]
                measured.points[metric.name] = [
                    Point(dict(one.attributes or {}), one.count, one.sum, tuple(one.explicit_bounds)) for one in points
                ]


@cache
def _reader() -> InMemoryMetricReader:
    delta: dict[type, AggregationTemporality] = {
        Histogram: AggregationTemporality.DELTA,
        Counter: AggregationTemporality.DELTA,
    }
    reader = InMemoryMetricReader(preferred_temporality=delta)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    assert metrics.get_meter_provider() is provider, "there is another provider in this process already"
    return reader
