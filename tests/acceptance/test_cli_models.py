"""`stretto models`, and a question that is answered by a provider's model: real processes, a local server in the provider's place."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.command import HANDBOOK, Stretto
from tests.integration.dialects import DIALECTS, KEY
from tests.integration.provider_server import Answer, ProviderServer, Received

CHAT = DIALECTS[1]
SENTENCE = "A refund is paid within fourteen days after the returned goods have arrived at the warehouse."


def think(asked: Received) -> Answer:
    """What a model would say: by the form that it is asked for, and from the documents that it is given."""
    texts = [one for one in CHAT.sent_texts(asked.body) if one.startswith("{")]
    documents = [json.loads(one).get("document") for one in texts]
    sources = [one for one in documents if one and SENTENCE in one["text"]]
    match asked.body["response_format"]["json_schema"]["name"]:
        case "TrialReply":
            output: dict[str, Any] = {"quote": "A refund is paid within thirty days.", "document": "terms"}
        case "Inquiry":
            output = {"questions": []}
        case "Outline":
            output = {"points": [{"says": "The deadline.", "findings": [sources[0]["id"]]}]}
        case "Quotes":
            output = {"quotes": [{"document": sources[0]["id"], "quote": SENTENCE, "confidence": 0.9}]}
        case "Draft":
            claim = {"text": "Refunds take fourteen days.", "findings": [sources[0]["id"]]}
            output = {"answered": True, "title": "", "claims": [claim], "gap": "", "confidence": 0.9}
        case "Review":
            checks = [{"claim": 0, "supported": True, "problem": ""}]
            output = {"verdict": "approve", "reasons": "", "notes": [], "checks": checks, "confidence": 0.9}
        case other:
            return Answer({"error": {"message": f"nobody told me of {other}"}}, status=400)
    text = json.dumps(output)
    return CHAT.streams(text) if asked.body.get("stream") else CHAT.says(text)


@pytest.fixture
async def server() -> AsyncIterator[ProviderServer]:
    async with ProviderServer(then=think) as server:
        yield server


@pytest.fixture
def user(tmp_path: Path, server: ProviderServer) -> Stretto:
    (tmp_path / "stretto.toml").write_text(
        f'model = "local:test"\n[providers.local]\nbase_url = "{server.url}"\nkey_variable = "LOCAL_KEY"\n'
    )
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "refunds.md").write_text(HANDBOOK)
    return Stretto(tmp_path, {"LOCAL_KEY": KEY, "ANTHROPIC_API_KEY": "", "OPENAI_API_KEY": ""})


async def test_the_list_tells_what_each_provider_lacks_and_no_key(user: Stretto, server: ProviderServer) -> None:
    ran = await asyncio.to_thread(user.run, "models", "list", "--json")
    assert ran.code == 0, ran.err
    assert ran.data["roles"]["writer"] == {"models": ["local:test"], "set_by": "model", "confidence": None}
    found = {one["provider"]: one for one in ran.data["providers"]}
    assert found["local"]["ready"]
    assert found["local"]["base_url"].startswith(server.url)
    assert not found["openai"]["ready"]
    assert found["openai"]["state"] == "there is no key for openai: set OPENAI_API_KEY"
    assert KEY not in ran.out
    assert server.requests == []


async def test_the_list_and_the_test_tell_what_a_model_costs(user: Stretto) -> None:
    price = {"input": 2.0, "output": 10.0}
    priced = user.with_variables(prices=json.dumps({"local:test": price}), models='{"writer": "local:other"}')
    listed = await asyncio.to_thread(priced.run, "models", "list", "--json")
    assert price.items() <= listed.data["prices"]["local:test"].items()
    assert listed.data["prices"]["local:other"] is None
    tried = await asyncio.to_thread(priced.run, "models", "test", "local:test", "--json")
    (trial,) = tried.data["models"]
    usage = trial["usage"]
    assert usage["cost_usd"] == pytest.approx((usage["input_tokens"] * 2 + usage["output_tokens"] * 10) / 1_000_000)
    assert price.items() <= trial["price"].items()


async def test_the_test_calls_the_model_of_the_settings_and_says_how_it_went(
    user: Stretto, server: ProviderServer
) -> None:
    ran = await asyncio.to_thread(user.run, "models", "test", "--json")
    assert ran.code == 0, ran.err
    (trial,) = ran.data["models"]
    assert trial["error"] is None
    assert trial["means"] == "strict"
    assert 0 < trial["first_text_s"] <= trial["seconds"]
    assert trial["usage"]["input_tokens"] == 100
    assert trial["request_id"] == "req_1"


async def test_a_model_that_cannot_be_used_is_told_beside_those_that_can(user: Stretto, server: ProviderServer) -> None:
    ran = await asyncio.to_thread(user.run, "models", "test", "openai:any", "offline", "local:test")
    assert ran.code == 1
    lines = {line.split()[0]: line for line in ran.out.splitlines()}
    assert "KeyMissing: there is no key for openai: set OPENAI_API_KEY" in lines["openai:any"]
    assert "yes" in lines["offline"]
    assert "schema, enforced" in lines["local:test"]
    assert KEY not in ran.out + ran.err


async def test_a_question_is_answered_by_the_providers_model_and_its_cost_is_known(
    user: Stretto, server: ProviderServer
) -> None:
    user = user.with_variables(prices='{"local:test": {"input": 2, "output": 10}}')
    ran = await asyncio.to_thread(
        user.run, "-v", "ask", "How long do refunds take?", "--docs", "docs", "--playbook", "brief", "--json"
    )
    assert ran.code == 0, ran.err
    assert "Refunds take fourteen days." in ran.out
    assert {one.body["model"] for one in server.requests} == {"test"}
    assert {one.headers["authorization"] for one in server.requests} == {f"Bearer {KEY}"}
    assert KEY not in ran.out + ran.err
    costs = await asyncio.to_thread(user.run, "costs", "--by", "model", "--json")
    (spent,) = (one for one in costs.data["by"]["model"] if one["name"] == "local:test")
    assert spent["model_calls"] == len(server.requests)
    assert spent["cost_usd"] == pytest.approx(len(server.requests) * (100 * 2 + 20 * 10) / 1_000_000)
    assert spent["cost_usd"] == pytest.approx(ran.data["usage"]["cost_usd"])


async def test_without_a_key_a_question_ends_at_once_with_what_to_do(user: Stretto, server: ProviderServer) -> None:
    keyless = Stretto(user.folder, user.variables | {"LOCAL_KEY": ""})
    ran = await asyncio.to_thread(keyless.run, "ask", "How long do refunds take?", "--docs", "docs")
    assert ran.code == 2
    assert "there is no key for local: set LOCAL_KEY" in ran.err
    ran = await asyncio.to_thread(keyless.run, "doctor")
    assert "there is no key for local" in ran.out
    assert "set LOCAL_KEY" in ran.out
    assert server.requests == []
