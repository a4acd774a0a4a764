"""`stretto trace` as a person uses it: a run that was asked is shown, listed and handed on, when nothing runs any more."""

from pathlib import Path

from tests.acceptance.command import HANDBOOK, Stretto


def test_a_run_is_shown_listed_and_handed_on(tmp_path: Path) -> None:
    user = Stretto(tmp_path)
    (tmp_path / "handbook.md").write_text(HANDBOOK)
    asked = user.run("ask", "When is a refund paid?", "--docs", "handbook.md", "--run-id", "first", "-q")
    assert asked.code == 0, asked.err

    shown = user.run("trace", "last")
    assert shown.code == 0, shown.err
    lines = shown.out.splitlines()
    assert lines[0].startswith("run first completed in ")
    assert "asks: When is a refund paid?" in lines[1]
    assert any(line.startswith("draft (writer)") for line in lines)
    assert any("waits for direct" in line for line in lines)

    story = user.run("trace", "fir", "--json").data  # the beginning of its id
    assert (story["run"], story["state"]) == ("first", "completed")

    exported = user.run("trace", "first", "--otlp", "-")
    assert exported.data["resourceSpans"]
    assert "spans of run first" in exported.err

    said = user.run("trace", "last", "--messages")
    assert "to supervisor\n    When is a refund paid?" in said.out
    assert "  answer: supervisor to " in said.out

    (listed,) = user.run("trace", "list", "--state", "completed", "--text", "REFUND", "--json").data["runs"]
    assert (listed["run"], listed["failed_attempts"]) == ("first", 0)
    assert user.run("trace", "list", "--slower", "3600", "--json").data["runs"] == []

    unknown = user.run("trace", "other")
    assert (unknown.code, unknown.out) == (2, "")
    assert "nothing is known of run other" in unknown.err
