"""The vectors that every contestant stores: hashed words, 256 places, length 1.

Standard library only and in one place, so that all of them compute the same numbers for the same
text at the same cost. They are not meant to search well: what is measured is the way to the index.
"""

import math
import re
import zlib
from collections import Counter

DIMENSIONS = 256
_WORD = re.compile(r"\w+")


def vector(text: str) -> list[float]:
    """Count each word at its place, and bring the vector to length 1; never all zeros.

    >>> sum(value * value for value in vector("le quai, le port")) - 1 < 1e-9
    True
    """
    values = [0.0] * DIMENSIONS
    for word, count in Counter(_WORD.findall(text.lower())).items():
        values[zlib.crc32(word.encode()) % DIMENSIONS] += count
    length = math.sqrt(sum(value * value for value in values))
    if not length:
        values[0] = length = 1.0
    return [value / length for value in values]
