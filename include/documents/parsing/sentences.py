"""What a clerk is told when a file or a page cannot be read: what, why, what to do."""

from include.documents.model import SetAside

SENTENCES = {
    "empty_file": "Le fichier est vide : le transférer de nouveau depuis l'original.",
    "unknown_content_type": (
        "Le contenu n'est ni un document, ni une image, ni une transcription que l'on sait lire : "
        "l'enregistrer en PDF, DOCX ou ODT et le déposer de nouveau."
    ),
    "old_word": (
        "Ancien format de bureautique (Word, Excel ou PowerPoint d'avant 2007) : l'ouvrir et "
        "l'enregistrer en PDF ou DOCX, puis le déposer de nouveau."
    ),
    "other_archive": (
        "C'est une archive ou un classeur compressé ({content}), pas un document de texte : en extraire "
        "les documents ou l'enregistrer en PDF, puis les déposer."
    ),
    "other_image": (
        "Ce format d'image ({content}) n'est pas pris en charge : l'enregistrer en JPEG ou PNG et la "
        "déposer de nouveau."
    ),
    "truncated": (
        "Le fichier est incomplet (transfert interrompu ?) : le télécharger ou le numériser de nouveau."
    ),
    "damaged": (
        "Le fichier est abîmé et ne s'ouvre pas : redemander l'original à son auteur et le déposer de "
        "nouveau."
    ),
    "encrypted": (
        "Le fichier est protégé par un mot de passe : déposer une copie sans mot de passe."
    ),
    "too_large": (
        "Le fichier dépasse ce que l'on peut lire ({content}) : le découper en plusieurs documents."
    ),
    "too_many_pages": (
        "Le document compte trop de pages ({content}) : le découper en plusieurs documents."
    ),
    "zip_bomb": (
        "Le fichier compressé gonfle démesurément à l'ouverture ({content}) ; il peut être malveillant : "
        "vérifier sa provenance et le déposer en PDF s'il est sûr."
    ),
    "unsafe_xml": (
        "Le fichier contient des déclarations XML interdites, qui peuvent être malveillantes : vérifier "
        "sa provenance et le déposer en PDF s'il est sûr."
    ),
    "timeout": (
        "La lecture a dépassé le temps permis ({content}) et a été arrêtée : découper le document ou le "
        "déposer sous une autre forme."
    ),
    "out_of_memory": (
        "La lecture a demandé plus de mémoire que permis et a été arrêtée : découper le document ou le "
        "déposer sous une autre forme."
    ),
    "parser_died": (
        "Le programme de lecture s'est arrêté sur ce fichier ({content}), sans doute abîmé : l'ouvrir, "
        "l'enregistrer de nouveau en PDF et le déposer."
    ),
    "killed": (
        "La lecture a été interrompue deux fois par le système, sans doute faute de mémoire : découper "
        "le document et déposer ses parties."
    ),
    "no_transcript": (
        "C'est un enregistrement sans transcription : déposer sa transcription (SRT, VTT ou texte "
        "horodaté) sous le même nom."
    ),
    "missing_bytes": (
        "Le fichier gardé n'est plus dans le dépôt des documents : déposer l'original de nouveau."
    ),
    "process_failed": (
        "Le traitement de ce fichier échoue pour une raison imprévue{content} : prévenir "
        "l'administrateur, qui trouvera la cause dans le journal, ou déposer le fichier sous une "
        "autre forme."
    ),
    "name_too_long": (
        "Le nom de ce fichier, avec ceux de ses dossiers, est trop long : le déposer sous un nom plus "
        "court, moins profond."
    ),
    "no_text": "Aucun texte n'a été trouvé dans le fichier : vérifier qu'il s'agit du bon document.",
}
"""By the code under which the sentence is found; ``{content}`` is filled with what was met."""

_REASONS = {
    "old_word": "unknown_content_type",
    "other_archive": "unknown_content_type",
    "other_image": "unknown_content_type",
    "killed": "parser_died",
}

INSTALL_OCR = (
    "Pour lire les pages numérisées, installer Tesseract avec le français : "
    "« sudo apt-get install tesseract-ocr tesseract-ocr-fra » (Debian, Ubuntu) ou "
    "« brew install tesseract tesseract-lang » (macOS), puis relancer."
)


def set_aside(code: str, content: object = "") -> SetAside:
    """Build the answer for a file that cannot be used.

    >>> set_aside("too_many_pages", "10 000").reason
    'too_many_pages'
    """
    return SetAside(_REASONS.get(code, code), SENTENCES[code].format(content=content))


def process_failed(times: int = 1) -> SetAside:
    """Build the answer for a file that met an error nobody foresaw.

    >>> process_failed(3).detail[:68]
    'Le traitement de ce fichier échoue pour une raison imprévue (3 fois)'
    """
    return set_aside("process_failed", f" ({times} fois)" if times > 1 else "")


def pages_phrase(numbers: list[int]) -> str:
    """Name pages in a sentence.

    >>> pages_phrase([3]), pages_phrase([1, 2, 3, 7])
    ('page 3', 'pages 1 à 3, 7')
    """
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    named = [str(a) if a == b else f"{a} à {b}" for a, b in spans]
    return f"page{'s' if len(numbers) > 1 else ''} {', '.join(named)}"


def out_of_time(numbers: list[int]) -> str:
    """Say that pages wait for another look.

    >>> out_of_time([4, 5]).split(" : ")[0]
    "Le temps permis n'a pas suffi pour l'OCR de pages 4 à 5"
    """
    return (
        f"Le temps permis n'a pas suffi pour l'OCR de {pages_phrase(numbers)} : celles qui "
        "attendent seront lues au prochain passage."
    )


class DocumentRefusedError(Exception):
    """A reader met what makes the whole document unusable; carries the answer."""

    def __init__(self, code: str, content: object = "") -> None:
        self.set_aside = set_aside(code, content)
        super().__init__(self.set_aside.reason)
