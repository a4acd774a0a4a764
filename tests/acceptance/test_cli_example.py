"""The example of an agent of one's own: exactly the commands of its README, in a copy of its folder."""

import re
import shutil
import subprocess
from pathlib import Path

from tests.acceptance.command import Stretto

EXAMPLE = Path(__file__).parents[2] / "examples" / "translator"


def test_the_commands_of_the_readme_give_the_answer_that_it_shows(tmp_path: Path) -> None:
    folder = tmp_path / "translator"
    shutil.copytree(EXAMPLE, folder)
    readme = (folder / "README.md").read_text(encoding="utf-8")
    commands = "\n".join(re.findall(r"```sh\n(.*?)```", readme, re.DOTALL))
    (promised,) = re.findall(r"^> (.+)$", readme, re.MULTILINE)

    # -m: `kill %1` needs job control, which a terminal has and a script has not.
    done = subprocess.run(
        ["bash", "-m", "-e", "-c", commands],
        cwd=folder,
        env=Stretto(tmp_path).environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert promised in done.stdout.splitlines()
    assert "translation (translator-" in done.stderr
