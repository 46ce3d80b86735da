"""Text as it may be stored: NFC, without NUL, control characters or lone surrogates."""

import re
import unicodedata

_LINE_END_HYPHEN = re.compile("[\x02\ufffe\u00ad]\r?\n?")
"""What PDFium writes for a hyphen that only the line end needed; the word goes on after it."""
_BROKEN_WORD = re.compile(r"(?<=[^\W\d_])-\n(?=[a-zà-ÿœ])")


def _own_hyphen_before(line_end: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?<=[^\W\d_]){line_end}(?=[A-ZÀ-Þ][a-zà-ÿ]|(?:midi|vous|mêmes?|être|end)\b)"
        rf"|(?:(?<=\b[Ss]aint)|(?<=\b[Dd]emi)|(?<=\b[Vv]ide)){line_end}"
    )


_OWN_HYPHEN = _own_hyphen_before(_LINE_END_HYPHEN.pattern)
_OWN_VISIBLE_HYPHEN = _own_hyphen_before("-\n")
"""A line end at a hyphen that the word has of its own: *Saint-Onneau*, *après-midi*, *rendez-vous*."""
_LIGATURE = re.compile(
    r"(?<![-\w])(?:(?!(?:[Dd]éfi|[Ww]ifi|[Ss]uffi|[Bb]ouffi) |fi d(?:e|es|u|['’]))[^\W\d_]*f[il]"
    r"|[Dd]éfi(?= ni)|[Ss]uffi(?= (?:sa|re))) (?=[a-zà-ÿ])"
)
"""The blank that a joined *fi* or *fl* leaves in a word; few French words end so by themselves."""
_LINE_END_MARKS = ("\x02", "\ufffe", "\u00ad")
_CUT_LIGATURE = re.compile("f[il] [a-zà-ÿ]")
"""What :data:`_LIGATURE` always holds and what costs nothing to look for."""
_LINE_ENDS = re.compile("\r|[\x0b\x85\u2028\u2029]")
_FORBIDDEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\uffff]")
_TRAILING = re.compile("(?<![ \t\u00a0])[ \t\u00a0]+\n")
"""The look behind keeps a megabyte of blanks from being tried at each of them."""
_EMPTY_LINES = re.compile("\n{3,}")


def clean(text: str) -> str:
    r"""Make a text storable; words cut by a soft hyphen are whole again, empty lines at most one.

    >>> clean("commu\x02\r\nne d'Audierne\x00  \r\n\r\n\r\nfin")
    "commune d'Audierne\n\nfin"
    >>> clean("à Saint\x02Onneau l'après\x02midi, mer\x02ci")
    "à Saint-Onneau l'après-midi, merci"
    """
    if any(mark in text for mark in _LINE_END_MARKS):
        text = _LINE_END_HYPHEN.sub("", _OWN_HYPHEN.sub("-", text))
    text = _LINE_ENDS.sub("\n", text.replace("\r\n", "\n"))
    text = _FORBIDDEN.sub("", text).replace("\x0c", "\n")
    text = _EMPTY_LINES.sub("\n\n", _TRAILING.sub("\n", text))
    return unicodedata.normalize("NFC", text).strip()


def storable(text: str) -> str:
    r"""Clean a text that holds a character it may not; any other stays as it is.

    >>> storable("Avis\x1b]0;x\x07"), storable("Avis  ")
    ('Avis]0;x', 'Avis  ')
    """
    return clean(text) if _FORBIDDEN.search(text) else text


def join_broken_words(text: str) -> str:
    r"""Join words that a visible hyphen cuts at a line end, as OCR reads them.

    >>> join_broken_words("le stationne-\nment est interdit")
    'le stationnement est interdit'
    >>> join_broken_words("de Pont-\nCroix à demi-\nmort")
    'de Pont-Croix à demi-mort'
    """
    return _BROKEN_WORD.sub("", _OWN_VISIBLE_HYPHEN.sub("-", text))


def join_ligatures(text: str) -> str:
    """Make words whole that a PDF's joined letters part.

    >>> join_ligatures("afi n de défi nir un édifi ce, un défi, faire fi de tout")
    'afin de définir un édifice, un défi, faire fi de tout'
    """
    if not _CUT_LIGATURE.search(text):
        return text
    return _LIGATURE.sub(lambda found: found[0][:-1], text)
