"""A process of its own that counts something, says what it has to say on stdout, and ends.

It is `python -m tests.integration.metered MODE PREFIX`, on the server that STRETTO_NATS_URL names. The mode is `plain`; or `hosted`, where
the host application has a provider of its own.
"""

import asyncio
import logging
import sys

from opentelemetry import metrics

from stretto.shared.process import open_process
from stretto.shared.settings import load_settings
from stretto.shared.telemetry.counters import run_ended
from stretto.shared.telemetry.metered import is_metered

__all__: list[str] = []


async def _count(prefix: str) -> None:
    for _ in range(2):  # a process may be connected again, and then begins to count anew
        async with open_process(load_settings(prefix=prefix), "counter"):
            run_ended("completed")
            _say(f"metered: {is_metered()}")


def _host() -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader

    reader = PeriodicExportingMetricReader(ConsoleMetricExporter(), export_interval_millis=3_600_000)
    metrics.set_meter_provider(MeterProvider([reader]))


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 (for the test that started us)


if __name__ == "__main__":
    mode, its_prefix = sys.argv[1:]
    logging.basicConfig(level=logging.INFO)
    if mode == "hosted":
        _host()
    asyncio.run(_count(its_prefix))
    _say(f"imported: {'opentelemetry.sdk.metrics' in sys.modules}")
