"""What leaves the house with documents leaves without what the anonymisation finds of persons."""

from include.anonymisation import NameRecogniser, anonymise


def anonymised(text: str, recogniser: NameRecogniser | None = None) -> str:
    """Write a text without the persons, numbers and addresses that rules find: not all there are.

    The papers of a town hall are public, so a doubt stops nothing here, and the way back is not kept.

    Raises:
        AnonymisationError: It cannot be done; nothing of the text may leave.

    >>> anonymised("Contact : Mme Marie Le Goff, 06 12 34 56 78.")
    'Contact : Mme [PERSONNE_1], [TELEPHONE_1].'
    """
    return anonymise(text, recogniser=recogniser).text
