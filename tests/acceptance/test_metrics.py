"""What real processes tell of their work to a Prometheus: that it is true, complete, and holds nothing that it should not."""

import contextlib
import json
import re
import socket
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance import traced_team
from tests.acceptance.command import wait_until
from tests.acceptance.traced import Traced, open_provider
from tests.acceptance.traced_team import BROKEN
from tests.integration.dialects import KEY

DOCS: Final = Path(__file__).parents[2] / "docs"
SERVICES: Final = ("memory run", "supervisor run", "agent run traced_team:Scribe", "agent run traced_team:Stumbler")
ROLES: Final = ("memory", "supervisor", "planner", "scribe", "stumbler")
RARE: Final = {"stretto.spans.dropped"}
"""Told only when something goes wrong that does not go wrong here."""


@dataclass
class Told:
    """What all processes together told."""

    texts: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)

    @property
    def families(self) -> Iterator[Metric]:
        """What was told, but for what Python's own client tells of a process."""
        for text in self.texts:
            for family in text_string_to_metric_families(text):
                if not family.name.startswith(("process_", "target")):
                    yield family

    @property
    def names(self) -> set[str]:
        """The names of all series."""
        return {sample.name for family in self.families for sample in family.samples}

    def sum(self, name: str, **labels: str) -> float:
        """Of the series of this name whose labels include these."""
        samples = [one for family in self.families for one in family.samples if one.name == name]
        return sum(one.value for one in samples if labels.items() <= one.labels.items())


@pytest.fixture(scope="module")
def told(nats_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Four processes and four runs: one falls back, one tries again, one meets the edge of its budget."""
    told = Told()
    with contextlib.ExitStack() as stack:
        world = Traced(
            tmp_path_factory.mktemp("user"),
            nats_url=nats_url,
            prefix=f"test-{uuid.uuid4().hex[:12]}",
            provider=stack.enter_context(open_provider()),
            exporting={"OTEL_METRICS_EXPORTER": "prometheus"},
            stack=stack,
        )
        ports = _free_ports(len(SERVICES))
        for service, port in zip(SERVICES, ports, strict=True):
            world.start(service, OTEL_EXPORTER_PROMETHEUS_PORT=str(port))
        world.wait_for_roles(*ROLES)
        told.runs.append(world.ask("write", "--playbook", "scribe", "--budget", "1"))
        told.runs.append(world.ask(f"write {BROKEN}", "--playbook", "scribe"))
        told.runs.append(world.ask("stumble", "--playbook", "stumbler"))
        world.run("ask", "write", "--playbook", "scribe", "--budget-tokens", "1", "--json")
        urls = [f"http://localhost:{port}/metrics" for port in ports]
        wait_until(lambda: "stretto_runs_parked 0.0" in _fetch(urls[1]), "the supervisor has read the figures")
        told.texts = [_fetch(url) for url in urls]
        yield told


def test_they_tell_how_runs_and_tasks_ended(told: Told) -> None:
    assert told.sum("stretto_runs_ended_total", stretto_run_state="completed") == 3
    assert told.sum("stretto_runs_ended_total", stretto_run_state="failed") == 1
    assert told.sum("stretto_runs_ended_total") == 4
    assert told.sum("stretto_tasks_retries_total", stretto_role="stumbler") == 1
    ends = {"stretto_role": "stumbler"}
    assert told.sum("stretto_tasks_attempts_total", **ends, stretto_outcome="failed") == 1
    assert told.sum("stretto_tasks_attempts_total", **ends, stretto_outcome="succeeded") == 1


def test_they_tell_what_models_and_tools_took(told: Told) -> None:
    scribe = {"stretto_role": "scribe"}
    assert told.sum("stretto_model_calls_total", **scribe, gen_ai_request_model="local:other") == 2
    assert told.sum("stretto_model_fallbacks_total", **scribe, gen_ai_request_model="local:test") == 2
    assert told.sum("stretto_tool_calls_total", **scribe, gen_ai_tool_name="stamp", stretto_outcome="done") == 2
    assert told.sum("stretto_model_tokens_total", **scribe, gen_ai_token_type="input") > 0  # noqa: S106 (a label)
    assert told.sum("stretto_model_cost_USD_total", **scribe) > 0
    assert 0 < told.sum("stretto_budget_spent_USD_total", stretto_account="run") < 1
    assert told.sum("stretto_budget_refused_total", stretto_account="run", stretto_unit="tokens") == 1
    breakers = {
        one.labels["gen_ai_request_model"] for text in told.families for one in text.samples if "breaker" in one.name
    }
    assert breakers == {"local:test", "local:other"}


def test_only_one_process_tells_what_holds_of_the_whole_deployment(told: Told) -> None:
    tellers = [text for text in told.texts if "stretto_queue_depth" in text]
    assert len(tellers) == 1
    assert told.sum("stretto_agents_alive", stretto_role="scribe") == 1
    assert told.sum("stretto_runs_parked") == 0


def test_they_tell_no_run_no_content_and_no_key(told: Told) -> None:
    text = "\n".join(told.texts)
    for secret in (*told.runs, *traced_team.SECRETS, KEY):
        assert secret not in text


def test_the_page_has_every_metric_and_no_other(told: Told) -> None:
    rows = _rows()
    kinds: dict[str, str] = {}
    labels: dict[str, set[str]] = {}
    for family in told.families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        kinds[name] = family.type
        labels.setdefault(name, set()).update(*(set(one.labels) - {"le"} for one in family.samples))
    assert {row.prometheus: row.kind for row in rows if row.name not in RARE} == kinds
    for row in rows:
        assert labels.get(row.prometheus, set()) <= row.labels, row.name


def test_the_dashboard_asks_for_metrics_that_there_are(told: Told) -> None:
    asked = _asked()
    assert asked <= told.names
    important = {row.prometheus for row in _rows() if row.name.startswith("stretto.")}
    charted = {name for name in important if name in asked}
    left_out = {
        "stretto_agents_alive",
        "stretto_budget_spent_USD_total",
        "stretto_runs_backlog",
        "stretto_spans_dropped_total",
    }
    assert important - charted == left_out


def test_the_dashboard_takes_any_data_source() -> None:
    dashboard = json.loads((DOCS / "grafana" / "stretto.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in dashboard["templating"]["list"] if one["type"] == "datasource"] == ["datasource"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    for panel in dashboard["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]


@dataclass(frozen=True)
class _Row:
    name: str
    prometheus: str
    kind: str
    labels: frozenset[str]


def _rows() -> list[_Row]:
    """The tables of the page."""
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_.]+)` \| `(\w+)` \| (\w+) \|[^|]*\|([^|]*)\|", page, re.MULTILINE)
    return [
        _Row(name, prometheus, kind, frozenset(re.findall(r"`(\w+)`", labels)))
        for name, prometheus, kind, labels in rows
    ]


def _asked() -> set[str]:
    """The metrics in the dashboard's queries."""
    dashboard = json.loads((DOCS / "grafana" / "stretto.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    return {name for query in queries for name in re.findall(r"\b(?:stretto|gen_ai|messaging)_\w+(?=[{\[])", query)}


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 (our own endpoint)
        return str(response.read(), "utf-8")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]
