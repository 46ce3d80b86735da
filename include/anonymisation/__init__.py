"""Texts without the persons in them: one way for contributions and documents.

``anonymise`` gives the text with surrogates and the way back; ``anonymise_for_outside`` stops in doubt.
Neighbours: documents and the model engine send nothing outside that did not come through here
(:mod:`include.anonymisation.location` says what is outside). Nothing here stores anything.
"""

from include.anonymisation.anonymiser import VERSION, anonymise, anonymise_for_outside
from include.anonymisation.model import (
    AnonymisationError,
    Anonymise,
    Anonymised,
    Doubt,
    Kind,
    NameRecogniser,
    Reason,
    Replacement,
)
from include.anonymisation.pseudonyms import Pseudonyms

__all__ = [
    "VERSION",
    "AnonymisationError",
    "Anonymise",
    "Anonymised",
    "Doubt",
    "Kind",
    "NameRecogniser",
    "Pseudonyms",
    "Reason",
    "Replacement",
    "anonymise",
    "anonymise_for_outside",
]
