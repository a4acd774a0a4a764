"""What `up` says of the parts that it keeps."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stretto.cli.backoff import Backoff
from stretto.cli.keeper import KeptPart
from stretto.cli.up_view import UpView
from stretto.shared.telemetry.prometheus import Address


def part(name: str, *, tell: Callable[[str], None], metrics: Address | None = None) -> KeptPart:
    return KeptPart(name, (), url="", log=Path("log"), tell=tell, backoff=Backoff(), metrics=metrics)


@pytest.mark.parametrize(
    ("metrics", "line"),
    [(None, ""), (Address("localhost", 9465), "metrics: supervisor http://localhost:9465/metrics\n")],
)
def test_it_says_where_metrics_are_served(
    metrics: Address | None, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    view = UpView("nats://localhost:4222", Path("data"))
    parts = [part("memory", tell=view.tell), part("supervisor", tell=view.tell, metrics=metrics)]
    with view.showing(parts):
        pass
    said = capsys.readouterr().err
    assert said.endswith(f"memory, supervisor\n{line}")
