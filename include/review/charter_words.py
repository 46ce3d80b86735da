"""The charter of a town as people read it: articles by number and title, reasons by their words."""

from collections.abc import Mapping
from functools import lru_cache

from include.contributions.model import Article
from include.contributions.wording import ARTICLE_LABELS, reason_label, review_reasons
from include.municipality import DATA, load_municipality
from include.review.model import OTHER_REASONS, REFUSAL_REASONS


@lru_cache(maxsize=4)
def article_words(municipality: str) -> Mapping[str, str]:
    """Name each article; by its general label in a town without data files.

    >>> article_words("audierne-esquibien")["spam_ou_publicite"]
    "l'article 2 de la charte (« Pas de publicité ni de message indésirable »)"
    >>> article_words("nowhere")["spam_ou_publicite"]
    'la charte (« Spam ou publicité »)'
    """
    folder = DATA / municipality
    named = {article.value: f"la charte (« {ARTICLE_LABELS[article]} »)" for article in Article}
    if folder.parent == DATA and folder.is_dir():
        for article, entry in load_municipality(folder).articles.items():
            named[article.value] = f"l'article {entry.number} de la charte (« {entry.title} »)"
    return named


@lru_cache(maxsize=4)
def why_asked(municipality: str) -> Mapping[str, str]:
    """Say each review reason of a town in its own words."""
    return review_reasons(municipality)


def refusal_reason(code: str, municipality: str) -> str:
    """Word a reason of the closed list, to stand after « Motif : ».

    >>> refusal_reason("deja_publiee", "audierne-esquibien")
    'même proposition déjà publiée'
    """
    if code in OTHER_REASONS:
        words = OTHER_REASONS[code]
        return words[:1].lower() + words[1:]
    return article_words(municipality).get(code, code)


def reason_choices(municipality: str) -> dict[str, str]:
    """Label every reason of the closed list for the form.

    >>> list(reason_choices("audierne-esquibien").values())[0]
    "Article 1 : Pas d'attaque personnelle ni de propos discriminatoire"
    """
    folder = DATA / municipality
    titles = (
        {
            a.value: f"Article {e.number} : {e.title}"
            for a, e in load_municipality(folder).articles.items()
        }
        if folder.parent == DATA and folder.is_dir()
        else {}
    )
    return {
        code: titles.get(code) or OTHER_REASONS.get(code) or reason_label(code)
        for code in REFUSAL_REASONS
    }
