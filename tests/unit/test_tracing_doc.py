"""docs/tracing.md: its table of spans is the table that spans are checked against."""

import re
from pathlib import Path

from tests.integration.span_kinds import KINDS

DOC = (Path(__file__).parents[2] / "docs" / "tracing.md").read_text(encoding="utf-8")


def test_it_names_every_kind_of_span_and_no_other() -> None:
    section = DOC.partition("\n## The spans\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(.+?)` \| ([A-Z]+) \|", section, re.MULTILINE)
    assert rows == [(kind.title, kind.kind) for kind in KINDS]


def test_its_links_lead_somewhere() -> None:
    anchors = {re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in re.findall(r"^#+ (.+)$", DOC, re.M)}
    for target in re.findall(r"\]\(([^)]+)\)", DOC):
        file, _, anchor = target.partition("#")
        if file:
            assert "://" in target or (Path(__file__).parents[2] / "docs" / file).exists(), target
        else:
            assert anchor in anchors, target
