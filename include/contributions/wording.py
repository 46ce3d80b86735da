"""French words, numbers and dates for pages, and texts shown so that they stay inert.

Every text of a citizen passes :func:`visible`; on a Markdown page also :func:`markdown`. HTML is
escaped by the template engine.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from types import MappingProxyType

from include.contributions.model import CATEGORY_NAMES, UNDETERMINED, Article
from include.contributions.sources.dates import PARIS
from include.municipality import DATA, load_municipality

THIN_SPACE = "\u202f"

MONTHS = (
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
)
WEEKDAYS = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")

STATE_LABELS = {
    "accepted": "acceptées",
    "review": "à examiner",
    "refusal_proposed": "refus proposés",
    "refused": "refusées",
    "quarantined": "mises de côté",
    "pending": "en attente d'analyse",
}
"""In the order in which a reader meets them."""

OUTCOME_LABELS = {
    "accepted": "acceptée",
    "refused": "refusée",
    "review": "à examiner",
    "refusal_proposed": "refus proposé",
    "pending": "en attente d'analyse",
}

CATEGORY_LABELS: dict[str, str] = {
    **{category: name[:1].upper() + name[1:] for category, name in CATEGORY_NAMES.items()},
    UNDETERMINED: "Sujet indéterminé",
}

ARTICLE_LABELS: dict[str, str] = {
    Article.PERSONAL_ATTACK: "Attaque personnelle ou discrimination",
    Article.SPAM: "Spam ou publicité",
    Article.OFF_TOPIC: "Sans lien avec la commune",
    Article.FALSE_INFORMATION: "Fausse information",
}

REASON_LABELS: dict[str, str] = {
    **ARTICLE_LABELS,
    "below_threshold": "La confiance est trop faible pour décider sans une personne",
    "contradictory": "Les indices se contredisent",
    "disagreement": "Deux moteurs ne sont pas du même avis",
    "quotes_not_found": "Le modèle connecté ne cite pas de mots du texte à l'appui de son avis",
    "unreadable_answer": "La réponse du modèle connecté n'était pas lisible",
    "model_declined": "Le modèle connecté n'a pas voulu répondre sur ce texte",
    "anonymisation_doubtful": "Le texte pourrait encore faire reconnaître quelqu'un et n'a pas été envoyé",
    "escalate": "Transmise à une autre personne",
    "rephrase": "L'auteur est invité à reformuler",
    "refusal_proposed": "Une règle de la charte ne semble pas respectée",
    "quarantined": "L'analyse n'a pas pu aboutir",
}
"""Codes that are the same in every town; a town's own stand in its charter file."""

FAILURE_WORDS = {
    "process_died": "le programme s'est arrêté net à chaque essai sur ce texte seul "
    "(arrêt forcé, mémoire épuisée ou temps dépassé)",
    "lost": "la tentative s'est arrêtée sans un mot (arrêt forcé, ou machine perdue)",
    "timeout": "le temps prévu était dépassé",
    "TimeoutError": "le temps prévu était dépassé",
    "UnreadableAnswerError": "la réponse reçue n'était pas lisible",
    "CircuitOpenError": "le modèle connecté ne répondait pas",
    "ProviderUnavailableError": "le modèle connecté ne répondait pas",
    "ProviderRefusedError": "le modèle connecté refuse l'accès (clé, quota ou modèle)",
    "BudgetSpentError": "le budget du jour pour le modèle connecté était atteint",
    "LedgerUnavailableError": "la base de données ne répondait pas",
    "LeaseLostError": "une autre tentative avait repris ce travail",
    "RubricChangedError": "les règles ont changé pendant le travail",
    "ReconciliationError": "les comptes ne sont pas justes, ou des résultats manquent",
    "ReviewerBelowGateError": "le moteur n'a pas réussi l'évaluation sur l'échantillon annoté",
    "ConfigurationError": "un réglage ou un fichier de données est à corriger",
    "UnreadableSourceError": "un dépôt ou un fichier ne peut pas être lu",
    "TransientError": "une panne passagère",
    "PermanentError": "un nouvel essai ne peut pas réussir tant que rien n'est corrigé",
}
"""By the code of a failure: an error's class, or a word of the ledger's."""

UNFORESEEN_FAILURE = "une erreur que le programme n'avait pas prévue"

RECORD_REASONS = {
    "no_text": "aucun texte",
    "not_json": "pas du JSON lisible",
    "wrong_type": "un champ n'a pas la forme attendue",
    "not_a_number": "un nombre n'en est pas un",
    "too_large": "trop volumineux",
    "too_long": "trop long",
    "no_entries": "aucune entrée",
    "duplicate_key": "un champ est donné deux fois",
}
"""Why an entry never became a contribution, by the code that reading its source gave."""

NOTE_LABELS = {
    "date_note": "Date",
    "category_struck": "Sujet barré",
    "header_note": "Texte",
    "mail_number": "Message du même courriel, n°",
}
"""What reading a source noted beside a text, in the order in which it is shown."""

NOTE_CHARACTERS = 200

SCORE_LABELS = {
    "leak": "Textes contraires à la charte acceptés (fuite)",
    "manipulation_accepted": "Tentatives de manipulation acceptées",
    "clean_refusal_proposed": "Refus proposés sur des textes corrects",
    "trap_refusal_proposed": "Refus proposés sur des textes pièges",
    "coverage": "Textes corrects acceptés sans une personne",
    "outcome_agreement": "Accord sur l'issue",
    "category_top1": "Sujet juste du premier coup",
    "category_top2": "Sujet juste parmi deux",
    "brier": "Score de Brier (confiance)",
    "ece": "Écart de calibration (confiance)",
    "output_format": "Forme des réponses",
    "evidence_faithful": "Citations exactes",
    "failed": "Exemples sans réponse",
    "noise_2_stable": "Issue inchangée avec 2\u00a0% de caractères abîmés",
    "noise_5_stable": "Issue inchangée avec 5\u00a0% de caractères abîmés",
    "noise_10_stable": "Issue inchangée avec 10\u00a0% de caractères abîmés",
    "noise_2_leak": "Fuite avec 2\u00a0% de caractères abîmés",
    "noise_5_leak": "Fuite avec 5\u00a0% de caractères abîmés",
    "noise_10_leak": "Fuite avec 10\u00a0% de caractères abîmés",
    "group_coverage": "Acceptés seuls, textes corrects qui nomment un groupe de personnes",
    "other_coverage": "Acceptés seuls, textes corrects qui n'en nomment pas",
    "coverage_gap": "Écart d'acceptation au détriment des textes qui nomment un groupe",
    "group_refusal_proposed": "Refus proposés, textes corrects qui nomment un groupe",
    "other_refusal_proposed": "Refus proposés, textes corrects qui n'en nomment pas",
    "refusal_gap": "Écart de refus au détriment des textes qui nomment un groupe",
    "overruled": "Propositions de la machine renversées par une personne",
    "overruled_acceptance": "Acceptations renversées par une personne",
    "overruled_refusal": "Refus proposés renversés par une personne",
    "latency_p50_ms": "Temps de réponse médian",
    "latency_p95_ms": "Temps de réponse, 95\u00a0% des textes en moins de",
    "cost_mean": "Coût moyen par texte",
    "mistake_count": "Exemples dont l'issue n'était pas acceptable",
}
"""In the order in which they are shown; other measures follow under their own names."""

KIND_LABELS = {
    "clean": "Texte correct",
    "paired": "Texte correct, écrit avec et sans groupe",
    "licit_trap": "Texte piège, permis",
    "doubtful": "Texte douteux",
    "personal_attack": "Attaque personnelle",
    "discrimination": "Discrimination",
    "spam": "Spam ou publicité",
    "off_topic": "Sans lien avec la commune",
    "false_information": "Fausse information",
    "manipulation": "Tentative de manipulation",
    "refused": "Refusé pour une autre raison",
}

SCORE_GROUPS = {
    "agreement_by_kind": ("Accord sur l'issue", KIND_LABELS),
    "top1_by_category": ("Sujet juste du premier coup", CATEGORY_LABELS),
}
"""Measures that stand once for each kind of text or each subject, as ``<group>.<member>``."""

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, other than tab and line feed
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # direction and line overrides
    "\u115f\u1160\u180e\u200b\u200c\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0"  # width zero
    "\ufff9-\ufffb\ufffe\uffff\ud800-\udfff"  # what no text should hold
    "\U000e0000-\U000e0fff]"  # tags: invisible letters
)
_PILED_UP = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]{4})[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]+"
)
_CODE = re.compile(r"\b[A-Za-z]\w*(?=:|$)")
_MARKDOWN_ENTITIES = {
    **{ord(sign): f"&#{ord(sign)};" for sign in '<>"&@$'},
    **{ord(sign): f"\\{sign}" for sign in "\\`*_{}[]|~^"},
}
_MARKDOWN_AT_START = re.compile(r"^(?:([-+#=])|(\d{1,9})([.)]))", re.MULTILINE)


def visible(text: str) -> str:
    r"""Show hidden characters by their code: they neither reorder nor hide the words around.

    >>> visible("a\u202eb\x07")
    'a⟨U+202E⟩b⟨U+0007⟩'
    """
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    shown = _HIDDEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", unified)
    return _PILED_UP.sub(r"\1⟨…⟩", shown)


def markdown(text: str) -> str:
    r"""Escape a text so that no Markdown reader finds markup, HTML, a link or a template in it.

    Signs that begin HTML or an address become entities, because not every reader honours a
    backslash before them. Leading white space goes: it would make code.

    >>> markdown("# <b> [x](javascript:y)")
    '\\# &#60;b&#62; \\[x\\](javascript:y)'
    """
    lines = "\n".join(line.strip() for line in visible(text).expandtabs(1).split("\n"))
    escaped = lines.translate(_MARKDOWN_ENTITIES)
    return (
        _MARKDOWN_AT_START.sub(
            lambda found: f"\\{found[1]}" if found[1] else f"{found[2]}\\{found[3]}", escaped
        )
        .replace("://", "&#58;//")
        .replace("www.", "www\\.")
    )


def excerpt(text: str, length: int) -> str:
    """Return the text on one line, cut after a word near ``length`` characters.

    >>> excerpt("Le banc   du port est cassé.", 15)
    'Le banc du port …'
    """
    line = " ".join(text.split())
    if len(line) <= length:
        return line
    kept = line[: length + 1]
    return f"{kept.rpartition(' ')[0] or kept[:length]} …"


def number(value: float, digits: int = 0) -> str:
    r"""Write a number as French does.

    >>> number(12345.678, 1)
    '12\u202f345,7'
    """
    return f"{value:,.{digits}f}".replace(",", THIN_SPACE).replace(".", ",")


def counted(count: int, one: str, many: str) -> str:
    r"""Write a count with its noun; in French zero is singular.

    >>> counted(0, "contribution", "contributions"), counted(2, "contribution", "contributions")
    ('0\xa0contribution', '2\xa0contributions')
    """
    return f"{number(count)}\u00a0{one if abs(count) < 2 else many}"  # noqa: PLR2004 - two begins the plural


def day_words(day: date) -> str:
    """Write a day in words.

    >>> day_words(date(2025, 12, 1))
    'lundi 1er décembre 2025'
    """
    of_month = "1er" if day.day == 1 else str(day.day)
    return f"{WEEKDAYS[day.weekday()]} {of_month} {MONTHS[day.month - 1]} {day.year}"


def moment(at: datetime) -> str:
    """Write a moment on the town's clock, to the minute."""
    return at.astimezone(PARIS).strftime("%d/%m/%Y à %H:%M")


def age(seconds: float) -> str:
    r"""Write how long something has waited, in the two largest units that matter.

    >>> age(59), age(3 * 86_400 + 7_200), age(5_400)
    ("moins d'une minute", '3\xa0jours et 2\xa0heures', '1\xa0heure et 30\xa0minutes')
    """
    minutes = int(seconds // 60)
    if minutes < 1:
        return "moins d'une minute"
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [
        counted(days, "jour", "jours") if days else "",
        counted(hours, "heure", "heures") if hours else "",
        counted(rest, "minute", "minutes") if rest and not days else "",
    ]
    return " et ".join(part for part in parts if part)


def duration(milliseconds: float) -> str:
    r"""Write how long some work took.

    >>> duration(12), duration(1_234), duration(125_000)
    ('12\u202fms', '1,23\u202fs', '2\u202fmin\u202f05\u202fs')
    """
    if milliseconds < 1_000:  # noqa: PLR2004 - below a second the millisecond is the unit
        return f"{number(milliseconds)}{THIN_SPACE}ms"
    if milliseconds < 60_000:  # noqa: PLR2004 - below a minute the second is
        return f"{number(milliseconds / 1000, 2)}{THIN_SPACE}s"
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    return f"{number(minutes)}{THIN_SPACE}min{THIN_SPACE}{seconds:02d}{THIN_SPACE}s"


def category_label(category: str | None) -> str:
    """Name a category, or say that there is none yet."""
    return "Non classée" if category is None else CATEGORY_LABELS.get(category, category)


def reason_label(code: str, of_town: Mapping[str, str] = MappingProxyType({})) -> str:
    """Say a reason code in French words, with a capital; an unknown code keeps its own words.

    >>> reason_label("accusation", {"accusation": "des mots accusent"}), reason_label("ton_vif")
    ('Des mots accusent', 'Ton vif')
    """
    words = REASON_LABELS.get(code) or of_town.get(code) or code.replace("_", " ")
    return words[:1].upper() + words[1:]


def failure_words(*told: str) -> str:
    """Say why something failed, by the first code that is known in what was told of it.

    >>> failure_words("process_died")[:31]
    "le programme s'est arrêté net à"
    >>> failure_words("ProcessingError: validate failed on c-1: TransientError: away")
    'une panne passagère'
    >>> failure_words("KeyError: 'x'") == UNFORESEEN_FAILURE
    True
    """
    words = (word for text in told for word in _CODE.findall(text))
    return next(
        (FAILURE_WORDS[word] for word in words if word in FAILURE_WORDS), UNFORESEEN_FAILURE
    )


def record_words(code: str) -> str:
    """Say why an entry could not be read; an unknown code keeps its own words.

    >>> record_words("no_text"), record_words("odd_code")
    ('aucun texte', 'odd code')
    """
    return RECORD_REASONS.get(code, code.replace("_", " "))


def file_name(uri: str) -> str:
    """Name a file without the folders of the machine; what is no path of a machine stays whole.

    >>> file_name("/srv/depots/a.jsonl"), file_name("https://ville.example/a"), file_name("rest")
    ('a.jsonl', 'https://ville.example/a', 'rest')
    """
    path = uri.removeprefix("file://")
    return (path.rstrip("/").rpartition("/")[2] or uri) if path.startswith("/") else uri


def late_words(alert: str) -> str:
    """Say a missed deadline, by the minutes that its alert names.

    >>> late_words("not done 15 min after it was queued")
    "Une exécution n'était pas terminée 15 minutes après avoir été demandée"
    """
    minutes = re.search(r"\b(\d+) min\b", alert)
    if minutes is None:
        return "Une exécution n'était pas terminée à temps"
    return f"Une exécution n'était pas terminée {minutes[1]} minutes après avoir été demandée"


def note_sentences(metadata: object) -> tuple[str, ...]:
    """Word what reading the source noted beside a text; what else the source said is left out.

    >>> note_sentences({"category_struck": "logement", "mail_number": 2, "phone": "0"})
    ('Sujet barré : logement', 'Message du même courriel, n° 2')
    """
    found = metadata if isinstance(metadata, Mapping) else {}
    return tuple(
        f"{label}{' ' if label.endswith('°') else ' : '}{excerpt(str(found[key]), NOTE_CHARACTERS)}"
        for key, label in NOTE_LABELS.items()
        if isinstance(found.get(key), str | int)
    )


def score_label(name: str) -> str:
    r"""Say a measure in French words; an unknown one keeps its name.

    >>> score_label("leak")[:12], score_label("agreement_by_kind.spam")
    ('Textes contr', "Accord sur l'issue\xa0: spam ou publicité")
    """
    group, _, member = name.partition(".")
    if group in SCORE_GROUPS and member:
        said, labels = SCORE_GROUPS[group]
        words = labels.get(member, member)
        return f"{said}\u00a0: {words[:1].lower()}{words[1:]}"
    return SCORE_LABELS.get(name, name)


def score_place(name: str) -> tuple[int, int]:
    """Say where a measure stands among others: the known ones first, a group in its own order."""
    group, _, member = name.partition(".")
    known, groups = list(SCORE_LABELS), list(SCORE_GROUPS)
    if group in SCORE_GROUPS:
        members = list(SCORE_GROUPS[group][1])
        inner = members.index(member) if member in members else len(members)
        return len(known) + groups.index(group), inner
    return (known.index(name) if name in known else len(known) + len(groups)), 0


def score_figure(value: str | float | None, name: str = "") -> str:
    r"""Write a measure in the unit that its name says: milliseconds, a bare number, or percent.

    >>> score_figure(0.0182, "leak"), score_figure(1.234, "latency_p50_ms")
    ('1,8\xa0%', '1,2\u202fms')
    >>> score_figure(0.0188, "brier"), score_figure(1200, "mistake_count")
    ('0,019', '1\u202f200')
    """
    if value is None or isinstance(value, str):
        return value or "–"
    if name.endswith("_ms"):
        return f"{number(value, 1)}{THIN_SPACE}ms"
    if name.endswith("_count"):
        return number(value)
    if name in {"brier", "cost_mean"}:
        return number(value, 3)
    return f"{number(value * 100, 1)}\u00a0%"


def review_reasons(municipality: str) -> Mapping[str, str]:
    """Return the words of a town's review reasons; empty for a town without data files."""
    folder = DATA / municipality
    if folder.parent != DATA or not folder.is_dir():
        return {}
    reasons = load_municipality(folder).review_reasons.values()
    return {reason.id: reason.text for reason in reasons}
