"""Let a connected model suggest another wording of a text, when somebody asks for it."""

import asyncio
from collections import Counter
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from include.contributions.model_prompts import wording_prompt
from include.contributions.model_wording import suggest_wording
from include.contributions.reviewer import embedded_reviewer
from include.errors import ConfigurationError
from participation import reviewing
from participation.hooks.language_models import ConnectedModel, connected_chain
from participation.ledger.connection import connect
from participation.ledger.model_calls import ModelCalls
from participation.ledger.suggestions import LedgerSuggestions
from participation.settings import LLM_CONN_ID
from participation.steps import Visit

MAX_TEXTS = 50
"""Of one run: what a model costs is decided by a person, run by run."""


def suggest(visit: Visit, ids: list[str]) -> dict[str, Any]:
    """Ask for a wording of each text and keep what holds; the texts themselves stay as they are.

    Raises:
        ConfigurationError: An id is unknown, or the connection cannot be used.
        AirflowSkipException: No model is connected, or it was asked about every text.
        ProviderUnavailableError: No provider answers; what was suggested stays.
        ProviderRefusedError: Key, quota, model or budget; what was suggested stays.
    """
    chain = connected_chain()
    if not chain:
        raise AirflowSkipException(f"nothing to do: no model is connected ({LLM_CONN_ID})")
    if unknown := visit.analysis.unknown(ids):
        raise ConfigurationError(f"no such contributions: {unknown[:10]}; nothing was suggested")
    attempt = visit.attempt
    calls = ModelCalls(lambda: connect(visit.dsn), attempt.dag_id, attempt.run_id)
    model = ConnectedModel(chain, calls)
    town = reviewing.town_of(visit.settings.municipality)
    store = LedgerSuggestions(visit.connection, visit.settings.municipality, attempt)
    prompt = wording_prompt(town, anonymised=model.is_outside)
    texts = store.to_suggest(ids[:MAX_TEXTS], prompt.hash, model.name)
    if not texts:
        raise AirflowSkipException(f"nothing to do: {model.name} was asked about every text")
    done = Counter[str]()
    rules = embedded_reviewer(visit.settings.municipality)
    anonymise = reviewing.anonymise_for(model, visit.settings)

    async def work() -> None:
        try:
            for text in texts:
                visit.item = text.contribution_id
                found = await suggest_wording(text, model, town, rules, anonymise)
                store.save(text, model.name, found)
                done[found.objection or "suggested"] += 1
        finally:
            await model.close()
            calls.close()

    asyncio.run(work())
    visit.input_size, visit.output_size = len(texts), done["suggested"]
    return {"model": model.name, "texts": len(texts), "outcomes": dict(done)}
