import pytest
import yaml

import law_docs


def test_the_page_names_every_mutation_that_is_tried():
    """docs/laws.md is what `make docs` would write now."""
    assert law_docs.main(["--check"]) == 0, "docs/laws.md is old: run `make docs`"


def test_the_list_is_in_the_order_of_the_laws():
    """Whoever looks for the mutations of a law finds them in one place."""
    laws = [entry["law"] for entry in yaml.safe_load(law_docs.MUTATIONS.read_text("utf-8"))]

    assert laws == sorted(laws)


def test_a_page_that_differs_is_noticed():
    """A mutation that is added or renamed changes the page."""
    page = law_docs.PAGE.read_text("utf-8")
    mutations = law_docs.MUTATIONS.read_text("utf-8")
    added = (
        f"{mutations}\n- {{law: 10, what: something else is gone, tests: [tests/unit/test_x.py]}}\n"
    )

    assert law_docs.written(page, added) != page
    assert "; something else is gone |" in law_docs.written(page, added)


def test_a_law_without_a_mutation_is_an_error():
    """A promise that nothing tests is no promise."""
    page = law_docs.PAGE.read_text("utf-8")
    unguarded = yaml.safe_dump(
        [
            entry
            for entry in yaml.safe_load(law_docs.MUTATIONS.read_text("utf-8"))
            if entry["law"] != 6
        ]
    )

    with pytest.raises(ValueError, match="in the list"):
        law_docs.written(page, unguarded)
