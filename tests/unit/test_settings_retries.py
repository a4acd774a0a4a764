"""Retries as a person sets them: by role, with a default for the rest, and told by name and place when they are wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stretto.shared.contracts.retry import RetryPolicy
from stretto.shared.settings import Settings, SettingsError, load_settings

_READ = """
from stretto.shared.settings import SettingsError, load_settings
try:
    print(load_settings().model_dump_json(include={"retries"}))
except SettingsError as error:
    print(error)
"""


def read(folder: Path, *, file: str = "", variable: str = "") -> str:
    """What a process in this folder makes of a settings file and the variable: its retries, or what it complains of."""
    (folder / "stretto.toml").write_text(file)
    variables = {"STRETTO_RETRIES": variable} if variable else {}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STRETTO_")}
    done = subprocess.run([sys.executable, "-c", _READ], cwd=folder, env={**clean, **variables}, capture_output=True)
    return done.stdout.decode().strip()


def test_without_any_the_default_is_the_policys_own() -> None:
    assert Settings().retries == {"default": RetryPolicy()}


def test_what_a_role_leaves_out_is_as_in_the_default() -> None:
    retries = load_settings(retries={"default": {"tries": 5, "delay_s": 3}, "writer": {"delay_s": 0}}).retries
    assert (retries["writer"].tries, retries["writer"].delay_s) == (5, 0)
    assert (retries["default"].tries, retries["default"].delay_s) == (5, 3)


def test_roles_without_a_default_leave_the_default_as_it_is() -> None:
    retries = load_settings(retries={"writer": {"tries": 7}}).retries
    assert retries["default"] == RetryPolicy()
    assert retries["writer"] == RetryPolicy(tries=7)


@pytest.mark.parametrize(
    ("retries", "text"),
    [
        ({"writer": {"tries": 0}}, "retries.writer.tries (as given): Input should be greater than or equal to 1"),
        ({"writer": {"tries": "often"}}, "retries.writer.tries (as given): Input should be a valid integer"),
        (
            {"default": {"delays": 1}},
            "retries.default (as given): there is no 'delays': use tries, delay_s, ",
        ),
        ({"The Writer": {}}, "retries.The Writer (as given): use 1 to 64 of a-z, 0-9, _ and -"),
        ({"writer": 3}, "retries.writer (as given)"),
        (3, "retries (as given)"),
    ],
)
def test_nonsense_is_told_by_name(retries: object, text: str) -> None:
    with pytest.raises(SettingsError) as error:
        load_settings(retries=retries)
    assert text in str(error.value)


def test_the_file_and_the_variable_say_it_together_and_the_variable_wins(tmp_path: Path) -> None:
    said = json.loads(
        read(
            tmp_path,
            file="[retries.default]\ntries = 3\n[retries.writer]\ntries = 4\n",
            variable='{"writer": {"tries": 5}, "critic": {"jitter": 0}}',
        )
    )["retries"]
    assert {role: policy["tries"] for role, policy in said.items()} == {"default": 3, "writer": 5, "critic": 3}


def test_what_is_wrong_is_told_with_the_place_that_says_it(tmp_path: Path) -> None:
    wrong = "[retries.writer]\njitter = 2\n"
    assert "retries.writer.jitter (in stretto.toml): " in read(tmp_path, file=wrong)
    assert "retries.writer.jitter (in stretto.toml): " in read(tmp_path, file=wrong, variable='{"critic": {}}')
    assert "retries.critic.factor (STRETTO_RETRIES): " in read(tmp_path, variable='{"critic": {"factor": 0}}')
    assert "write it as JSON, as in" in read(tmp_path, variable="three times")
    assert "unknown setting 'retry': did you mean 'retries'?" in read(tmp_path, file="[retry.writer]\ntries = 1\n")
