"""What an operator is told of the anonymisation, and what it rests on."""

import json
import sys
from types import SimpleNamespace

import pytest

from bench import anonymisation as bench
from include.anonymisation import VERSION, measures
from include.anonymisation.recognisers import recogniser_of
from include.errors import ConfigurationError


def test_the_figures_are_told_with_their_size_and_interval():
    told = measures.sentences()

    assert any("names of persons hidden" in each and "95 % interval" in each for each in told)
    assert told[-1] == measures.CAVEAT
    assert measures.measures()["version"] == VERSION


def test_the_page_tells_what_an_operator_is_told():
    page = (bench.ROOT / "docs" / "anonymisation.md").read_text("utf-8")

    assert all(f"* {sentence}" in page for sentence in measures.sentences())


def test_figures_of_other_rules_say_so(tmp_path):
    file = tmp_path / "measures.json"
    file.write_text('{"version": "anonymisation-fr-0", "sets": {}}')

    assert "anonymisation-fr-0" in measures.sentences(file)[0]


@pytest.mark.parametrize("content", ["", "{}", '{"version": 1, "sets": {"a": {}}}'])
def test_a_broken_file_is_named(tmp_path, content):
    file = tmp_path / "measures.json"
    file.write_text(content)

    with pytest.raises(ConfigurationError, match="measures"):
        measures.sentences(file)


def test_labels_hold_no_word_of_a_paper():
    """Offsets, kinds and hashes: the papers stay where they are."""
    for path in bench.LABELS.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            assert set(row) in (
                {"document", "start", "end", "kind"},
                {"document", "characters", "tune_until"},
            )
            assert len(row["document"]) == 64
            assert row.get("kind", "mail") in {kind.value for kind in bench.Kind}


def test_a_set_whose_papers_are_missing_is_skipped_in_sight(monkeypatch, tmp_path, capsys):
    """The others are measured, the table says which is not, and its older figures stay in the file."""
    file = tmp_path / "measures.json"
    file.write_text(
        json.dumps({"version": VERSION, "sets": {"transcript": {"title": "as before"}}})
    )
    monkeypatch.setattr(bench, "FILE", file)

    figures = bench.measure([1], data=tmp_path)

    assert "skipped" in figures["sets"]["transcript"]
    assert "transcript is skipped" in capsys.readouterr().out
    assert "skipped" in "\n".join(bench.table(figures))
    kept = json.loads(file.read_text())["sets"]
    assert kept["transcript"] == {"title": "as before"}
    assert kept["sentences"]["halves"]["held out"]["personne"]["labels"] > 20


def test_a_recogniser_is_loaded_and_never_fetched(monkeypatch):
    """An installed model by its name; what is not installed is an error that says so."""
    entity = SimpleNamespace(label_="PER", start_char=3, end_char=9)
    other = SimpleNamespace(label_="LOC", start_char=0, end_char=2)

    class Model:
        meta = {"version": "3.8"}  # noqa: RUF012 - a double

        def __call__(self, text):
            return SimpleNamespace(ents=[entity, other])

    def load(name):
        if name != "fr_here":
            raise OSError("[E050] Can't find model")
        return Model()

    monkeypatch.setitem(sys.modules, "spacy", SimpleNamespace(load=load))
    recogniser_of.cache_clear()

    found = recogniser_of("spacy:fr_here")

    assert found.name == "spacy:fr_here-3.8"
    assert list(found.names("à Rozuel")) == [(3, 9)]
    for setting in ("spacy:fr_away", "spacy", "spacy:", "flair:x"):
        with pytest.raises(ConfigurationError, match="recogniser"):
            recogniser_of(setting)
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(ConfigurationError, match="not installed"):
        recogniser_of("spacy:fr_elsewhere")
