"""What the workflow gives per document, in full and in a docket."""

import json

import pytest

from include.dockets import MAX_DOCKET_BYTES, docket
from include.documents.output import DraftedContribution, WorkflowOutput, outputs_in, warnings_of


def outputs(count, **changes):
    return [WorkflowOutput(f"{number:064x}", **changes) for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 500])
def test_a_docket_holds_as_many_outputs_as_fit(count):
    """Never more than a docket may weigh, in order, and what is left out is counted."""
    found = outputs(count, extracted_themes=("fête de la mer",) * 3, warnings=("é" * 5000,))

    result = docket(**outputs_in({"version": 1}, found, count))

    assert len(json.dumps(result, ensure_ascii=False).encode()) <= MAX_DOCKET_BYTES
    shown = [each["document_id"] for each in result["outputs"]]
    assert shown == [each.document_id for each in found][: len(shown)]
    assert len(shown) + result["outputs_left_out"] == count
    assert bool(shown) == bool(count)
    assert result["version"] == 1


def test_a_full_docket_stays_as_it_is():
    """The task's own figures are never pushed out."""
    result = outputs_in({"text": "x" * (MAX_DOCKET_BYTES - 60)}, outputs(3), 3)

    assert docket(**result)["outputs"] == []
    assert result["outputs_left_out"] == 3


def test_the_json_form_is_that_of_the_guide():
    """Four fields; a draft says that it was generated."""
    output = WorkflowOutput(
        "a" * 64,
        ("quai",),
        (DraftedContribution("quai", "Constat.", "Idée.", "Le quai", 2, "m"),),
        ("!",),
    )

    assert json.loads(json.dumps(output.as_dict())) == {
        "document_id": "a" * 64,
        "extracted_themes": ["quai"],
        "contributions": [
            {
                "theme": "quai",
                "constat_factuel": "Constat.",
                "idees_ameliorations": "Idée.",
                "quote": "Le quai",
                "page_number": 2,
                "model": "m",
                "generated": True,
            }
        ],
        "warnings": ["!"],
    }


def test_warnings_name_pages_by_their_reason():
    """Refusals first, then what the parser noted, then unread pages; an unknown reason keeps its words."""
    told = warnings_of(["Noté."], {"needs_ocr": [4, 3], "odd_code": [9]}, refusals=["Protégé."])

    assert told[:2] == ("Protégé.", "Noté.")
    assert told[2] == "Pages 3 à 4 : numérisée, attend l'OCR."
    assert told[3] == "Page 9 : odd code."
