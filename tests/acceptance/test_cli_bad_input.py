"""Bad input on the command line: one clear line, the right exit code, no traceback, and nothing else harmed."""

import stat
from pathlib import Path

import pytest

from tests.acceptance.command import Stretto

CASES = {
    "empty request": (["ask", "  "], {}, 2, "the request is empty"),
    "oversized request": (["ask", "why? " * 8_000], {}, 2, "the request has 40000 characters, more than 32000"),
    "missing documents": (["ask", "why?", "--docs", "nowhere"], {}, 2, "nowhere does not exist"),
    "documents that are no file": (
        ["ask", "why?", "--docs", "/dev/null"],
        {},
        2,
        "/dev/null is neither a folder nor a file",
    ),
    "bad tenant": (["ask", "why?", "--tenant", "Acme Inc."], {}, 2, "tenant 'Acme Inc.' is not allowed: use 1 to 64"),
    "bad run id": (["ask", "why?", "--run-id", "a.b"], {}, 2, "run id 'a.b' is not allowed"),
    "bad playbook name": (["ask", "why?", "--playbook", "a.b"], {}, 2, "playbook"),
    "unknown option": (["ask", "why?", "--colour"], {}, 2, "No such option: --colour"),
    "no system to look at": (["status"], {}, 3, "no system runs on"),
    "nothing was asked yet": (["runs", "list"], {}, 3, "nothing was asked yet"),
    "nothing to forget": (["memory", "forget"], {}, 2, "say what to forget"),
    "bad setting": (["status"], {"shards": "many"}, 2, "shards"),
    "missing settings file": (["status"], {"config": "none.toml"}, 2, "STRETTO_CONFIG names none.toml"),
    "broken settings file": (["status"], {"config": "broken.toml"}, 2, "the settings file broken.toml cannot be read"),
    "unknown log level": (["status"], {"log_level": "LOUD"}, 2, "log_level 'LOUD' is unknown"),
    "nobody at the address": (["ask", "why?"], {"nats_url": "nats://127.0.0.1:9"}, 3, "no NATS server answers"),
    "no address": (["ask", "why?"], {"nats_url": "http://example"}, 3, "is not a NATS address"),
    "data directory is a file": (["ask", "why?"], {"data_dir": "a-file"}, 3, "cannot be used"),
    "no nats-server": (["ask", "why?"], {"nats_server": "no/such"}, 3, "there is no nats-server at no/such"),
    "old nats-server": (["ask", "why?"], {"nats_server": "old/nats-server"}, 3, "2.10.4 at old/nats-server is too old"),
}


@pytest.fixture
def user(tmp_path: Path) -> Stretto:
    (tmp_path / "a-file").write_text("not a folder")
    (tmp_path / "broken.toml").write_text("shards = [")
    old = tmp_path / "old" / "nats-server"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho nats-server: v2.10.4\n")
    old.chmod(old.stat().st_mode | stat.S_IXUSR)
    return Stretto(tmp_path)


@pytest.mark.parametrize(("words", "variables", "code", "message"), CASES.values(), ids=CASES)
def test_bad_input_is_one_clear_line(
    user: Stretto, words: list[str], variables: dict[str, str], code: int, message: str
) -> None:
    ran = user.with_variables(**variables).run(*words, "--json")

    assert ran.code == code, ran.err
    error = ran.err.strip().splitlines()[-1]
    assert error.startswith("stretto: ")
    assert message in error
    assert "Traceback" not in ran.err
    assert ran.data["error"]["message"] in error


@pytest.mark.parametrize(
    ("words", "variables", "code", "message"),
    [
        (["agent", "run", "nobody"], {}, 2, "there is no agent 'nobody'"),
        (["agent", "run", "no_such_module:Agent"], {}, 2, "there is no module no_such_module"),
        (["agent", "run", "json:JSONDecoder"], {}, 2, "is no agent"),
        (["healthcheck", "Writer!"], {}, 2, "role 'Writer!' is not allowed"),
        (["up"], {"nats_url": "nats://127.0.0.1:9"}, 2, "`up` runs a server of its own"),
        (["down"], {}, 3, "no system runs on"),
    ],
)
def test_services_refuse_what_they_cannot_run(
    user: Stretto, words: list[str], variables: dict[str, str], code: int, message: str
) -> None:
    ran = user.with_variables(**variables).run(*words)

    assert ran.code == code, ran.err
    assert message in ran.err
    assert "Traceback" not in ran.err


def test_what_a_part_says_at_its_end_reaches_the_person(user: Stretto) -> None:
    ran = user.with_variables(model="gpt-9").run("ask", "why?", "--json", "-q")

    assert ran.code == 2, ran.err
    assert "there is no model 'gpt-9'" in ran.data["error"]["message"]
    assert "Traceback" not in ran.err


def test_a_folder_without_documents_is_no_source(user: Stretto) -> None:
    (user.folder / "empty").mkdir()
    ran = user.run("ask", "why?", "--docs", "empty", "--json", "-q")

    assert ran.code == 2, ran.err
    assert "has no readable documents" in ran.data["error"]["message"]
