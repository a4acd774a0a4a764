"""`stretto ask` with a real small model in front of `offline`: what the one cannot do the other finishes, and that is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.command import HANDBOOK, Stretto
from tests.integration.small_model import MISSING, WHY_SKIPPED, small_model

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=WHY_SKIPPED)]

SMALL = "llama:smollm2"
SETTINGS = """
[models]
default = ["{model}", "offline"]
[providers.llama]
base_url = "{address}/v1"
time_limit_s = 8
max_output_tokens = 128
repairs = 0
"""


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Stretto]:
    with small_model() as address:
        (tmp_path / "stretto.toml").write_text(SETTINGS.format(model=SMALL, address=address), encoding="utf-8")
        (tmp_path / "handbook").mkdir()
        (tmp_path / "handbook" / "refunds.md").write_text(HANDBOOK, encoding="utf-8")
        yield Stretto(tmp_path)


def test_a_question_ends_well_whatever_the_small_model_says(user: Stretto) -> None:
    ran = user.run("ask", "When is a refund paid?", "--docs", "handbook", "--json")

    assert ran.code in (0, 4), ran.err
    answer = ran.data
    assert answer["state"] == "completed", answer["reason"]
    assert answer["answered"] is (ran.code == 0)
    assert all(one["quote"] in HANDBOOK for one in answer["citations"])
    assert bool(answer["citations"]) is answer["answered"]
    asked = {model for task in answer["tasks"] for model in task["models"]}
    assert SMALL in asked, "it was asked, and what it took is on record"
    if "offline" in asked:
        hops = [one for one in answer["remarks"] if one.startswith(f"offline answered in place of {SMALL}: ")]
        assert hops
        assert all(one in ran.err for one in hops)
