"""Take telephone numbers, mail and network addresses out of what is shown of a broken entry."""

import re

BLOT_RATIO = 8
"""No address is much more than this many times as long as what takes its place."""

_HEX = "[0-9a-f]{1,4}"
PERSONAL = re.compile(
    r"(?<![\w.+-])[\w.+-]++(?:@|\\u0040)[\w-]{1,63}(?:\.[\w-]{1,63})*"
    # IPv6, the shortened kind first; a time of day has neither "::" nor seven colons.
    rf"|(?<!\w)(?:(?:{_HEX}(?::{_HEX}){{0,6}})?::{_HEX}(?::{_HEX}){{0,6}}"
    rf"|{_HEX}(?::{_HEX}){{0,6}}::|{_HEX}(?::{_HEX}){{7}})(?:\.\d{{1,3}}){{0,3}}(?![\w:])"
    r"|(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]*\d)"
    r"|(?<![\w+])(?:\+|00)\d(?:[\s./()-]{0,3}\d){6,14}(?!\d)"
    # The month of a day is no beginning of a number.
    r"|(?<![\w+])(?<!\d[/.])0[1-9](?:[\s./()-]{0,3}\d){8}(?!\d)",
    re.IGNORECASE,
)
_BLOT = "[coordonnées]"


def blotted(text: str, length: int) -> str:
    """Show the beginning of a text without telephone numbers, mail and network addresses.

    >>> blotted("Appelez le 02 98 00 00 00 ou x@example.org, bâtiment 3", 40)
    'Appelez le [coordonnées] ou [coordonnées'
    """
    # More than is shown: blotting makes a text shorter, and may not uncover half an address.
    return PERSONAL.sub(_BLOT, text[: length * BLOT_RATIO])[:length]
