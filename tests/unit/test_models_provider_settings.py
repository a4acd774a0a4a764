"""Settings of providers: keys never stand in them, addresses hold no passwords."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from stretto.shared.models.provider_settings import ProviderSettings
from stretto.shared.models.providers import api_of


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/v1", "https://example.org", "http://[::1]:9/v1/"])
def test_an_address_is_taken(url: str) -> None:
    assert ProviderSettings(base_url=url).base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "example.org",
        "ftp://example.org",
        "http://",
        "http://a b/",
        "http://u:hunter2@example.org/v1",
        "http://x/v1?key=hunter2",
    ],
)
def test_what_is_no_address_or_holds_a_secret_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ProviderSettings(base_url=url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["api_key", "apikey", "key_secret", "auth_token", "API_KEY"])
def test_a_key_in_the_settings_is_refused_without_showing_it(name: str) -> None:
    with pytest.raises(ValidationError, match="a key never stands in the settings") as caught:
        ProviderSettings.model_validate({name: "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_key_given_for_the_name_of_its_variable_is_refused_without_showing_it() -> None:
    with pytest.raises(ValidationError, match="not the key itself") as caught:
        ProviderSettings(key_variable="sk-hunter2")
    assert "hunter2" not in str(caught.value)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="timelimit"):
        ProviderSettings.model_validate({"timelimit": 3})


def test_the_protocol_is_that_of_the_name_or_the_one_that_most_servers_speak() -> None:
    assert api_of("anthropic", ProviderSettings()) == "anthropic"
    assert api_of("openai", ProviderSettings()) == "openai"
    assert api_of("local", ProviderSettings()) == "openai"
    assert api_of("local", ProviderSettings(api="anthropic")) == "anthropic"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "LOCAL__TIMELIMIT",
            "3",
            "providers.local.timelimit (STRETTO_PROVIDERS__LOCAL__TIMELIMIT): there is no such setting",
        ),
        ("LOCAL__API_KEY", "hunter2", "a key never stands in the settings"),
        ("LOCAL__REPAIRS", "hunter2", "providers.local.repairs (STRETTO_PROVIDERS__LOCAL__REPAIRS): "),
    ],
)
def test_a_wrong_variable_is_named_without_its_value(tmp_path: Path, variable: str, value: str, message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from stretto.shared.settings import load_settings; load_settings()"],
        env={f"STRETTO_PROVIDERS__{variable}": value},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert message in done.stderr.strip().splitlines()[-1]
    assert "hunter2" not in done.stderr
