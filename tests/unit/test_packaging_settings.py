"""stretto.toml.example: every setting is there, with its default where it has one."""

import re
import tomllib
from pathlib import Path

from pydantic_core import PydanticUndefined

from stretto.shared.contracts.retry import RetryPolicy
from stretto.shared.models.provider_settings import ProviderSettings
from stretto.shared.settings import Settings

EXAMPLE = (Path(__file__).parents[2] / "stretto.toml.example").read_text(encoding="utf-8")
UNCOMMENTED = re.sub(r"^# (?=[a-z_]+ = |\[[a-z_]+(\.|\]))", "", EXAMPLE, flags=re.MULTILINE)


def test_it_holds_every_setting_and_no_other() -> None:
    assert set(tomllib.loads(UNCOMMENTED)) == set(Settings.model_fields)


def test_what_it_calls_the_default_is_the_default() -> None:
    shown = tomllib.loads(UNCOMMENTED)
    defaults = {
        name: list(field.default) if isinstance(field.default, tuple) else field.default
        for name, field in Settings.model_fields.items()
        if field.default not in (None, PydanticUndefined)
    }
    assert {name: shown[name] for name in defaults} == defaults
    local = ProviderSettings().model_dump()
    given = {
        "api": "openai",
        "base_url": "http://127.0.0.1:8080/v1",
        "key_variable": "LOCAL_KEY",
        "max_output_tokens": 4096,
        "context_tokens": 32_768,
        "requests_per_minute": 50,
        "tokens_per_minute": 40_000,
    }
    assert shown["providers"] == {"local": local | given}
    assert shown["retries"] == {"default": RetryPolicy().model_dump(mode="json")}


def test_as_it_is_it_changes_nothing_and_uncommented_it_is_valid() -> None:
    assert tomllib.loads(EXAMPLE) == {}
    shown = tomllib.loads(UNCOMMENTED)
    assert Settings(**shown).model_fields_set == set(shown)
