"""The Makefile: what a person types reaches the command as it is, and a Python that will not do is named."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def make(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "STRETTO_"))}
    command = ["make", "--no-print-directory", *words]
    return subprocess.run(command, cwd=ROOT, env=clean | environment, capture_output=True, text=True, timeout=60)


def script(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    file.chmod(0o755)
    return file


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment that counts as set up; its `stretto` prints its arguments and where its data go."""
    folder = tmp_path / "venv"
    script(folder / "bin" / "stretto", """printf '%s\\n' "$@" "$STRETTO_DATA_DIR" """)
    (folder / ".ready").touch()
    return folder


@pytest.mark.parametrize(
    "question",
    ["How are refunds handled?", 'It\'s $5 & `id` "quoted" $(shell id); $HOME \\ # %', "-v"],
    ids=["plain", "every quote there is", "looks like an option"],
)
def test_the_question_reaches_the_command_as_typed(venv: Path, question: str) -> None:
    ran = make("run", f"VENV={venv}", f"Q={question}", "DOCS=my handbook")
    assert ran.stdout.splitlines() == ["ask", "--docs", "my handbook", "--", question, str(ROOT / ".stretto")]


def test_without_words_a_question_about_the_projects_own_docs_is_asked(venv: Path) -> None:
    *_, docs, _, question, data_dir = make("run", f"VENV={venv}", STRETTO_DATA_DIR="elsewhere").stdout.splitlines()
    assert docs == "docs"
    assert question.endswith("?")
    assert data_dir == "elsewhere"


def test_set_up_is_done_once_and_again_when_the_versions_change(venv: Path, tmp_path: Path) -> None:
    assert make("-q", "setup", f"VENV={venv}").returncode == 0
    os.utime(venv / ".ready", (0, 0))
    assert make("-q", "setup", f"VENV={venv}").returncode == 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('case "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac', "Python 3.9.2; Stretto needs 3.11 or newer"),
        ('case "$2" in *ensurepip*) exit 1;; esac', "apt install python3-venv"),
    ],
    ids=["too old", "without venv"],
)
def test_a_python_that_will_not_do_is_refused_in_words(tmp_path: Path, body: str, told: str) -> None:
    python = script(tmp_path / "python3", body)
    ran = make("setup", f"VENV={tmp_path / 'venv'}", f"PYTHON={python}")
    assert ran.returncode == 2
    assert told in ran.stderr


def test_a_missing_python_is_named(tmp_path: Path) -> None:
    ran = make("setup", f"VENV={tmp_path / 'venv'}", "PYTHON=python-nowhere")
    assert ran.returncode == 2
    assert "There is no python-nowhere here" in ran.stderr
