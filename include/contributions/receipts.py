"""Receipt codes: what a citizen or a partner keeps, to ask later what became of a contribution.

Twelve symbols that cannot be taken for one another: eleven drawn at random (55 bits, far more than
anybody can try at the pace that is allowed) and one computed from them, so that a slip of the pen is
told from a receipt that does not exist.
"""

import re
import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without I, L, O and U: what looks alike is read as the same, and no word comes out by chance."""

_DRAWN = 11
_GROUP = 4
_PLACE = {symbol: value for value, symbol in enumerate(ALPHABET)}
_READ_AS = str.maketrans("ILO", "110", " -")
_SYMBOLS = re.compile(f"[{ALPHABET}]{{{_DRAWN + 1}}}")
_DECISION = re.compile("[0-9A-Z]{8}")
_WITHOUT_GAPS = str.maketrans("", "", " -")
_MODULUS = 0b100101
"""x^5 + x^2 + 1: with it the check symbol notices any wrong symbol and any two that changed places."""


def new_code() -> str:
    """Draw a code that nobody can guess.

    >>> is_whole(new_code())
    True
    """
    drawn = "".join(secrets.choice(ALPHABET) for _ in range(_DRAWN))
    return _grouped(drawn + _check(drawn))


def read_code(written: str) -> str | None:
    """Read a code as somebody copied it; None when it is none, or a symbol of it is wrong.

    >>> read_code("7k2m 9qx4 tvb0") == read_code("7K2M-9QX4-TVBO")
    True
    >>> read_code("7K2M-9QX4")
    """
    symbols = written[:40].upper().translate(_READ_AS)
    if not _SYMBOLS.fullmatch(symbols) or _check(symbols[:-1]) != symbols[-1]:
        return None
    return _grouped(symbols)


def read_decision_code(written: str) -> str | None:
    """Read the shorter code that the statement of a decision asks its reader to quote.

    >>> read_decision_code("abcd 2345"), read_decision_code("ABCD-23456")
    ('ABCD-2345', None)
    """
    symbols = written[:40].upper().translate(_WITHOUT_GAPS)
    return _grouped(symbols) if _DECISION.fullmatch(symbols) else None


def is_whole(code: str) -> bool:
    """Say whether a code is written as :func:`new_code` writes it and its check symbol is right."""
    return read_code(code) == code


def _check(drawn: str) -> str:
    total = 0
    for symbol in drawn:
        total = _doubled(total ^ _PLACE[symbol])
    return ALPHABET[total]


def _doubled(value: int) -> int:
    doubled = value << 1
    return doubled ^ _MODULUS if doubled > max(_PLACE.values()) else doubled


def _grouped(symbols: str) -> str:
    return "-".join(symbols[at : at + _GROUP] for at in range(0, len(symbols), _GROUP))
