"""The prompts of the model engine: versioned files, filled in with the town's charter.

No word of a citizen ever enters a prompt; a text is sent as data, in a message of its own. What a
prompt says, and the form of the answer it asks for, is hashed, and the hash goes into every result.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from include.contributions.model import CATEGORY_NAMES
from include.contributions.model_answers import AnswerForm, WordingForm
from include.errors import ConfigurationError
from include.municipality import Municipality

PROMPTS = Path(__file__).parents[1] / "prompts"

CATEGORY_HINTS = {
    "economie": "commerces, port, pêche, tourisme, emploi",
    "logement": "logement, urbanisme, rues, routes et travaux",
    "culture": "patrimoine, fêtes, arts, traditions",
    "ecologie": "environnement, énergie, déchets, biodiversité",
    "associations": "clubs, bénévolat, vie associative",
    "jeunesse": "jeunes, écoles, enfants",
    "alimentation-bien-etre-soins": "alimentation, santé, soins, bien-être",
}
"""What belongs under each subject of the platform."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Instructions, the form of the answer, and the hash of both."""

    instructions: str
    form: Mapping[str, Any]
    hash: str


def judging_prompt(town: Municipality, *, anonymised: bool) -> Prompt:
    """Build the prompt that asks for an opinion on the charter and for the subject.

    Args:
        town: Whose charter.
        anonymised: Whether the texts were anonymised, which the model must know.

    Raises:
        ConfigurationError: A prompt file is missing or names a field that there is not.
    """
    names = ["forseti", "charter", "category", *(["anonymisation"] if anonymised else []), "answer"]
    articles = "\n".join(
        f"- {article.article.value} : article {article.number}, {article.title}"
        for article in sorted(town.articles.values(), key=lambda each: each.number)
    )
    encouraged = "\n".join(f"- {aspect.sign} : {aspect.text}" for aspect in town.encouraged)
    categories = "\n".join(
        f"  - {category.value} : {name} ({CATEGORY_HINTS[category.value]})"
        for category, name in CATEGORY_NAMES.items()
    )
    fields = {
        "commune": town.name,
        "articles": articles,
        "encouraged": encouraged,
        "categories": categories,
    }
    return _prompt(names, fields, AnswerForm.model_json_schema())


def wording_prompt(town: Municipality, *, anonymised: bool) -> Prompt:
    """Build the prompt that asks for another wording of a text.

    Raises:
        ConfigurationError: As for :func:`judging_prompt`.
    """
    names = ["wording", *(["anonymisation"] if anonymised else [])]
    return _prompt(names, {"commune": town.name}, WordingForm.model_json_schema())


def _prompt(names: list[str], fields: Mapping[str, str], form: Mapping[str, Any]) -> Prompt:
    try:
        text = "\n\n".join(_file(name).format_map(fields).strip() for name in names)
    except (KeyError, ValueError, IndexError) as error:
        raise ConfigurationError(
            f"{PROMPTS}: a prompt names no field that is known: {error!r}"
        ) from error
    whole = json.dumps([text, form], sort_keys=True, ensure_ascii=False)
    return Prompt(text, form, hashlib.sha256(whole.encode()).hexdigest()[:16])


@lru_cache
def _file(name: str) -> str:
    path = PROMPTS / f"{name}.md"
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: the prompt cannot be read: {error}") from error
