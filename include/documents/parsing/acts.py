"""Which act of the town hall a text is, the number it bears and the title it gives itself."""

import re

from include.documents.parsing.dates import HEAD_CHARACTERS, VISA, plain

KINDS: dict[str, re.Pattern[str]] = {
    "convocation": re.compile(
        r"\bconvocation\b|\b(?:etes|est|sont) (?:convoque|invite|prie)(?:e|s|es)?\b"
        r"|\bai l'honneur de vous (?:convoquer|inviter)"
    ),
    "proces_verbal": re.compile(r"\bproces[- ]?verbal\b"),
    "compte_rendu": re.compile(r"\bcompte[- ]rendu\b"),
    "deliberation": re.compile(r"\bdeliberations?\b"),
    "arrete": re.compile(
        r"\barrete(?:s)?\b(?=[^\n]{0,30}"
        r"(?:\bn\W{0,3}[o°º]?|\bdu\b|\bde\b|municipal|prefectoral|temporaire|permanent|portant|$))"
    ),
    "ordre_du_jour": re.compile(r"\bordre du jour\b"),
    "bulletin": re.compile(
        r"\bbulletin (?:municipal|mensuel|d['’ ]?info|n\W)"
        r"|\b(?:magazine|journal|lettre) (?:municipal|d['’]|de la (?:commune|ville|mairie))"
        r"|\bn\s?[°º]\s?\d{1,3}\s*[-–—|]?\s*(?:janvier|fevrier|mars|avril|mai|juin|juillet|aout|septembre"
        r"|octobre|novembre|decembre|printemps|ete|automne|hiver)\s+(?:19|20)\d\d"
    ),
    "reglement": re.compile(r"(?<!\bdu )(?<!\bau )\breglement\b(?! europeen|\s*\(ue\))"),
    "formulaire": re.compile(r"\bcerfa\b|\bformulaire\b"),
    "avis": re.compile(r"\bavis (?:public|au public|d'enquete|d'ouverture|aux? )"),
    "annuaire": re.compile(r"\bannuaire\b"),
}
"""Where several stand in a text's head, the first in the text wins: what a thing calls itself."""

_VERB = re.compile(r"(?:^|\n)[^\w\n]*a\s?r\s?r\s?e\s?t\s?e(?:\s*nt)?\s*:?[^\w\n]*(?:\n|$)")
_NUMBER = re.compile(
    r"(?:(?<![\w°])[nN]\s?[°ºo*]\s?:?\s*|#)"
    r"((?:[A-Z]{1,4}[ -]?){0,2}\d[\dA-Z]*(?:\s?[-/._]\s?\d[\dA-Z]*)*)(?![\w])"
)
_REGISTER = re.compile(r"\b\d{2}-\d{4}-\d{2}-\d{2}-\d{5}\b")
_CERFA = re.compile(r"\b(\d{5}\s?\*\s?\d{2})\b")
_NUMBERED = frozenset({"arrete", "deliberation", "bulletin", "formulaire", "reglement"})
_OBJECT = re.compile(r"(?:^|\n)\s*obje(?:t|ct)\s*:\s*", re.IGNORECASE)
_TITLE_END = re.compile(
    r"^\W*(?:vu|considerant|le maire|la maire|le prefet|le conseil|chevalier|officier|article"
    r"|nous|sur (?:la )?(?:proposition|rapport)"
    r"|monsieur|madame|mesdames|l'an|arrete\W*$|le \d)\b|^\W*arrete\W*$"
)
_SUBJECT = re.compile(
    r"\b(?:portant|relati(?:f|ve)|reglementant|interdisant|autorisant|instaurant|fixant)\b"
)
_MAX_NUMBER = 60
"""A longer one is a table, or a text that means harm."""

_MAX_TITLE = 200
_MAX_TITLE_LINES = 5
_FEW_LETTERS = 8
_SHORT_TITLE = 3
_ADDRESS = re.compile(r"https?:|www\.|\S@\S")
_BEFORE_NUMBER = re.compile(r".*\d.*:\s*$")
"""The day and the address that stand before a bulletin's number."""
_PART = re.compile(r"\s*\d{1,2}\s?[-–—.]\s?[^\W\d]")
_WHOLE = re.compile(r"\W*(?:plan|programme|schema|dossier|projet|charte|enquete|etude)\b")
_SPECK = re.compile(r"^\W*\b\w{1,2}[-–—]\s+")
_MAX_LINES_ABOVE = 2
_LONG_WORD = re.compile(r"[^\W\d_]{3,}")
_TELLING_WORD = re.compile(r"[^\W\d_]{5,}")
_WITH_SUBJECT = frozenset({"arrete", "deliberation"})


def act_kind(text: str, heading: str | None = None) -> str | None:
    r"""Name the act: what stands first in its head, the laws and acts it quotes left aside.

    >>> act_kind("ARRÊTÉ MUNICIPAL N° 2025-12\nVu la délibération du 3 mars")
    'arrete'
    """
    for part in (heading or "", text[:HEAD_CHARACTERS]):
        if kind := _first_kind(_own_lines(part)):
            return kind
    quotes = sum(1 for line in plain(text).splitlines() if VISA.match(line))
    return "arrete" if quotes > 1 and _VERB.search(plain(text)) else None


def act_number(text: str, kind: str | None) -> str | None:
    r"""Read the number of an act as written; None for kinds that bear none.

    >>> act_number("Arrêté du maire n° P-PM2023-005\nVu la loi n° 82-213", "arrete")
    'P-PM2023-005'
    """
    if kind not in _NUMBERED:
        return None
    lines = [line for line in text[:HEAD_CHARACTERS].splitlines() if not VISA.match(plain(line))]
    head = "\n".join(lines)
    if kind == "formulaire":
        found = _CERFA.search(head)
        return found[1].replace(" ", "") if found else None
    if register := _REGISTER.search(head):
        return register[0]
    found = _NUMBER.search(head)
    if found is None or len(found[1]) > _MAX_NUMBER:
        return None
    return re.sub(r"\s*([-/._])\s*", r"\1", found[1]).strip()


def act_title(text: str, kind: str | None) -> str | None:
    """Read the title an act gives itself: the line that names it and those that say what about."""
    if found := _OBJECT.search(text[:HEAD_CHARACTERS]):
        return _shortened(_lines_from(text[found.end() :].splitlines(), several=False))
    if kind not in KINDS:
        return None
    if kind == "formulaire" and (number := _CERFA.search(text[:HEAD_CHARACTERS])):
        return _shortened(_lines_from(text[number.end() :].splitlines(), several=False))
    lines = text[:HEAD_CHARACTERS].splitlines()
    for index, line in enumerate(lines):
        folded = plain(line)
        found = None if VISA.match(folded) else KINDS[kind].search(folded + "\n")
        if found:
            # What stands before it on the line is a logo that OCR read.
            is_cut = kind in _WITH_SUBJECT or _BEFORE_NUMBER.match(line[: found.start()])
            own = [line[found.start() if is_cut else 0 :], *lines[index + 1 :]]
            title = _lines_from(own, several=kind in _WITH_SUBJECT)
            is_whole = len(title.split()) > _SHORT_TITLE and kind != "bulletin"
            above = "" if is_whole else _capitals_above(lines[:index])
            if _PART.match(line):
                return _shortened(f"{_whole_of(lines[:index])} {line}")
            return _shortened(f"{above} {title}")
    subject = next((i for i, line in enumerate(lines) if _SUBJECT.search(plain(line))), None)
    return None if subject is None else _shortened(_lines_from(lines[subject:], several=True))


def _lines_from(lines: list[str], *, several: bool) -> str:
    """Join a title's lines; those of an act run on until they have said what it is about."""
    taken: list[str] = []
    for line in lines:
        words = line.strip()
        if not taken:
            taken += [words] if words else []
            continue
        if _TITLE_END.match(plain(line)) or len(taken) == _MAX_TITLE_LINES:
            break
        seeks_subject = several and not _SUBJECT.search(plain(" ".join(taken)))
        if not words and not seeks_subject:
            break
        if several:
            words = _without_noise(words)
        elif _ADDRESS.search(words) or not words[:1].islower():
            break
        if words:
            taken.append(words)
    return " ".join(taken)


def _without_noise(line: str) -> str:
    """A line without what OCR made of a logo beside it; empty when that is all."""
    subject = _SUBJECT.search(plain(line))
    if subject and not _TELLING_WORD.search(line[: subject.start()]):
        return line[subject.start() :]
    if _SPECK.match(line):
        return _SPECK.sub("", line)
    # A single word is as likely a speck.
    return line if len(_LONG_WORD.findall(line)) > 1 else ""


def part_title(text: str) -> str | None:
    r"""Read the title of a numbered part of a plan or a file, with the whole that it is part of.

    >>> part_title("Plan de prévention\ndes risques\n\nCommune\n\n3 - Règlement\nseptembre")
    'Plan de prévention des risques 3 - Règlement'
    """
    lines = text[:HEAD_CHARACTERS].splitlines()
    index = next((i for i, line in enumerate(lines) if _PART.match(line)), None)
    whole = "" if index is None else _whole_of(lines[:index])
    return _shortened(f"{whole} {lines[index]}") if index is not None and whole else None


def _whole_of(lines: list[str]) -> str:
    """The paragraph above that names a plan, each line without what OCR left beside it."""
    first = next((i for i, line in enumerate(lines) if _WHOLE.match(plain(line))), None)
    if first is None:
        return ""
    taken: list[str] = []
    above = "-"
    for line in lines[first : first + _MAX_TITLE_LINES]:
        # Where the print is large OCR sees paragraphs; a small letter goes on with the one before.
        if not line.strip() or (not above and not line.strip()[0].islower()):
            if not above:
                break
            above = ""
            continue
        above = line
        taken.append(_without_noise(re.sub(r"(?:\s+(?:\W+|\w{1,2}))+$", "", line.strip())))
    return " ".join(filter(None, taken))


def _capitals_above(lines: list[str]) -> str:
    """The lines in capitals just above, which a short title ends."""
    taken: list[str] = []
    for line in reversed(lines):
        if not line.strip() or not line.isupper() or len(taken) == _MAX_LINES_ABOVE:
            break
        taken.insert(0, line.strip())
    return " ".join(taken)


def _shortened(title: str) -> str | None:
    title = re.sub(r"\s+", " ", title).strip(" -–—:;|*_#")
    if sum(map(str.isalpha, title)) < _FEW_LETTERS:
        return None
    return title if len(title) <= _MAX_TITLE else title[: title.rfind(" ", 0, _MAX_TITLE)] + " …"


def _own_lines(text: str) -> str:
    return "\n".join(line for line in plain(text).splitlines() if not VISA.match(line))


def _first_kind(head: str) -> str | None:
    found = {kind: match.start() for kind, rule in KINDS.items() if (match := rule.search(head))}
    return min(found, key=lambda kind: found[kind]) if found else None
