"""French words for what the pages say of documents; codes that nobody foresaw keep their own words."""

from dataclasses import dataclass

from include.documents.parsing.sentences import INSTALL_OCR, SENTENCES

ACT_KINDS = {
    "arrete": "Arrêté",
    "deliberation": "Délibération",
    "convocation": "Convocation",
    "proces_verbal": "Procès-verbal",
    "compte_rendu": "Compte rendu",
    "ordre_du_jour": "Ordre du jour",
    "bulletin": "Bulletin",
    "reglement": "Règlement",
    "formulaire": "Formulaire",
    "avis": "Avis",
    "annuaire": "Annuaire",
}

OTHER_ACT = "none"
"""In an address: documents whose kind of act is not known."""

MEDIA = {
    "pdf": "PDF",
    "html": "page web",
    "markdown": "texte Markdown",
    "text": "texte",
    "docx": "document Word",
    "odt": "document OpenDocument",
    "jpeg": "image JPEG",
    "png": "image PNG",
    "tiff": "image TIFF",
    "webp": "image WebP",
    "srt": "sous-titres SRT",
    "vtt": "sous-titres VTT",
    "transcript": "transcription",
    "audio": "enregistrement sonore",
    "video_file": "film",
}

SOURCES = {"folder": "dossier", "crawl": "site (copie)", "url": "adresse"}

METHODS = {"text": "texte du fichier", "ocr": "OCR", "set_aside": "mise de côté"}

STANDINGS = {
    "answers": "cherchable",
    "read": "lu, bientôt cherchable",
    "waits": "attend d'être lu",
    "unreadable": "aucune page lisible",
    "set_aside": "mis de côté",
    "former": "ancienne version",
}
"""Where a document stands, in the order in which a reader meets them."""

STANDING_SENTENCES = {
    "answers": "Ce document est lu et répond aux questions de la recherche.",
    "read": "Ce document est lu ; les étapes suivantes ne sont pas encore toutes passées.",
    "waits": "Ce document est conservé et sera lu par la prochaine exécution de document_intake.",
    "unreadable": "Ce document a été ouvert, mais aucune de ses pages n'a pu être lue : la recherche ne peut"
    " pas le trouver.",
    "set_aside": "Ce document n'a pas pu être lu. Le fichier reçu est conservé tel quel.",
    "former": "Une version plus récente l'a remplacé dans sa source ; il est conservé tel quel.",
}

STEPS = {
    "find": "Recherche des fichiers",
    "fetch": "Demande au site",
    "plan": "Répartition",
    "choose": "Choix du lecteur",
    "parse": "Lecture",
    "chunk": "Découpage",
    "embed": "Vecteurs",
    "index": "Index",
    "themes": "Thèmes",
    "dataset": "Jeu de données",
    "publish": "Publication",
    "draft": "Brouillons de contributions",
    "reconcile": "Comptes",
}

STATUSES = {
    "running": "en cours",
    "success": "terminée",
    "failed": "échouée",
    "timeout": "temps dépassé",
    "skipped": "sautée",
}

FIGURES = {
    "new": "fichiers nouveaux",
    "changed": "fichiers modifiés",
    "unchanged": "fichiers inchangés",
    "waits": "fichiers à revoir au prochain passage",
    "addresses_left": "adresses à demander au prochain passage",
    "elsewhere": "fichiers laissés aux contributions",
    "set_aside": "mis de côté",
    "done": "documents traités",
    "pages_in": "pages",
    "pages_ocr": "pages lues par OCR",
    "pages_set_aside": "pages mises de côté",
    "left": "documents qui attendent",
    "vectors": "vecteurs calculés",
    "documents": "documents",
    "document_count": "documents dans l'index",
    "chunk_count": "passages dans l'index",
    "near_duplicates": "quasi-doublons",
    "marks_changed": "marques de doublon changées",
    "examples": "exemples du jeu de données",
    "version": "version du jeu de données",
    "index_id": "version de l'index",
    "engine": "moteur",
    "chunking_id": "découpage n°",
    "dataset_id": "jeu de données n°",
    "outputs_left_out": "résultats non montrés",
    "model": "modèle",
    "drafts": "brouillons",
    "declined": "refus du modèle",
    "failed_count": "documents en échec",
    "sent": "exemples envoyés",
    "kept_back": "exemples gardés ici",
}
"""What the tasks of a run hand on, by their own names."""

REASONS = {
    "empty_file": "fichier vide",
    "empty": "fichier vide",
    "unknown_content_type": "format inconnu",
    "truncated": "fichier incomplet",
    "missing_bytes": "fichier disparu du dépôt",
    "damaged": "fichier abîmé",
    "encrypted": "mot de passe",
    "too_large": "trop volumineux",
    "too_many_pages": "trop de pages",
    "zip_bomb": "archive suspecte",
    "unsafe_xml": "XML dangereux",
    "timeout": "temps dépassé",
    "out_of_memory": "mémoire dépassée",
    "parser_died": "lecture interrompue",
    "no_transcript": "sans transcription",
    "process_failed": "erreur imprévue",
    "name_too_long": "nom trop long",
    "no_text": "aucun texte",
    "link_outside": "raccourci vers l'extérieur",
    "link_to_folder": "raccourci vers un dossier",
    "not_a_file": "pas un fichier",
    "unreadable": "lecture refusée",
    "unreadable_metadata": "fiche illisible",
    "crawl_error": "erreur de collecte",
    "growing": "en cours d'écriture",
    "contributions": "contributions",
    "bad_url": "adresse inutilisable",
    "refused_scheme": "adresse refusée : pas une adresse du web",
    "refused_credentials": "adresse refusée : mot de passe",
    "refused_address": "adresse refusée : réseau interne",
    "refused_port": "adresse refusée : port",
    "unreachable": "site injoignable",
    "server_error": "site en panne",
    "incomplete": "envoi interrompu par le site",
    "not_found": "introuvable sur le site",
    "forbidden": "accès refusé par le site",
    "unexpected_answer": "réponse inattendue du site",
    "bad_encoding": "envoi illisible du site",
    "too_many_redirects": "renvois sans fin",
    "redirected_post": "renvoi inattendu",
}
"""Why a whole document is set aside; the sentence beside it says what to do."""


@dataclass(frozen=True, slots=True)
class PageReason:
    """Why a page is set aside, and what a clerk can do about it."""

    short: str
    advice: str


PAGE_REASONS = {
    "needs_ocr": PageReason("numérisée, attend l'OCR", INSTALL_OCR),
    "unreadable_scan": PageReason(
        "numérisée, illisible même par OCR",
        "Numériser la page de nouveau, droite et à 300 points par pouce, ou fournir le fichier "
        "d'origine.",
    ),
    "untrusted_layer": PageReason(
        "texte du fichier inutilisable",
        "Le texte enregistré dans la page est un tampon ou des signes sans suite : fournir le "
        "fichier d'origine, ou une numérisation plus nette.",
    ),
    "empty": PageReason("vide", "Rien à faire si la page est blanche dans l'original."),
    "broken": PageReason(
        "impossible à ouvrir",
        "La page est abîmée dans le fichier : redemander l'original à son auteur.",
    ),
}


def page_reason(code: str) -> PageReason:
    """Say why a page is set aside; an unknown code keeps its own words."""
    return PAGE_REASONS.get(code) or PageReason(code.replace("_", " "), "")


def advice(code: str, detail: str) -> str:
    """Say what to do about a document that is set aside: what was told of it, else by its code."""
    return detail or SENTENCES.get(code, "").format(content="…")


def act_kind(code: str | None) -> str:
    """Name a kind of act.

    >>> act_kind("proces_verbal"), act_kind(None)
    ('Procès-verbal', 'Autre document')
    """
    return "Autre document" if code in {None, OTHER_ACT} else ACT_KINDS.get(str(code), str(code))
