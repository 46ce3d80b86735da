"""Folders as people leave them: walked, fingerprinted, stored whole or not at all."""

import json
import os
import tracemalloc
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from include.contributions import loading
from include.contributions.loading import RefusedFilesError, load_folder
from include.contributions.model import BrokenRecord, Category, Record, content_hash
from include.errors import (
    EmptySourceError,
    LedgerUnavailableError,
    UnreadableSourceError,
    is_transient,
)
from include.ports import LoadCounts
from tests.shared_data import shared_data

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)
REPOSITORY = Path(__file__).parents[3]
SAMPLES = REPOSITORY / "include" / "samples"
LINE = '{"id": "1", "text": "Le banc du quai est cassé."}\n'


class MemoryStore:
    """A loading store that keeps the port's promises in memory."""

    def __init__(self):
        self.files = {}
        self.entries = {}
        self.links = []
        self.loads = {}
        self.hashes = set()

    def begin_load(self, _root):
        self.loads[len(self.loads) + 1] = None
        return len(self.loads)

    def known_files(self, uris):
        return {key: file_id for key, file_id in self.files.items() if key[0] in set(uris)}

    def add_file(self, load_id, file, records):
        entries = list(records)  # an error in here leaves the store as it was
        file_id = len(self.files) + 1
        self.files[file.uri, file.sha256] = file_id
        self.entries[file_id] = (file, entries)
        self.link_file(load_id, file_id)
        texts = [entry for entry in entries if isinstance(entry, Record)]
        new = {}
        for record in texts:
            key = content_hash(record.constat_factuel, record.idees_ameliorations)
            if key not in self.hashes:
                new.setdefault(key, record.submitted_on or NOW.date())
        self.hashes |= set(new)
        return LoadCounts(
            len(texts), len(entries) - len(texts), len(new), tuple(sorted(set(new.values())))
        )

    def link_file(self, load_id, file_id):
        self.links.append((load_id, file_id))

    def end_load(self, load_id, waiting):
        self.loads[load_id] = list(waiting)

    def all(self, kind):
        """Every stored entry of a kind, in order."""
        return [e for _, entries in self.entries.values() for e in entries if isinstance(e, kind)]


@pytest.fixture
def store():
    """An empty store."""
    return MemoryStore()


def put(folder, name, content, age_s=3600):
    """Write a file that was last changed some seconds before NOW."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    moment = (NOW - timedelta(seconds=age_s)).timestamp()
    os.utime(path, (moment, moment))
    return path


def test_a_folder_is_loaded_whole_and_only_once(tmp_path, store):
    """The second load links every file and stores nothing."""
    put(tmp_path, "b/b.csv", "id;text\n1;Un banc\n")
    put(tmp_path, "a.jsonl", LINE)
    put(tmp_path, "c.json", json.dumps([{"id": 1, "text": "Un abri"}, {"id": 2}]))

    first = load_folder(tmp_path, store, now=NOW)
    second = load_folder(tmp_path, store, now=NOW)

    assert (first.files, first.records, first.broken, first.added) == (3, 3, 1, 3)
    assert first.days == (NOW.date(),)
    assert (second.files, second.unchanged, second.records, second.added) == (0, 3, 0, 0)
    assert Counter(load_id for load_id, _ in store.links) == {1: 3, 2: 3}
    assert [file.path.name for file, _ in store.entries.values()] == ["a.jsonl", "c.json", "b.csv"]


def test_a_changed_file_is_loaded_again(tmp_path, store):
    """Other bytes under the same name are another version."""
    path = put(tmp_path, "a.jsonl", LINE)
    load_folder(path, store, now=NOW)
    put(tmp_path, "a.jsonl", LINE + LINE.replace("banc", "mur"))

    outcome = load_folder(path, store, now=NOW)

    assert (outcome.files, outcome.records, outcome.added) == (1, 2, 1)


def test_what_is_no_source_is_left_out_and_said(tmp_path, store):
    """Hidden and temporary files are passed over; unknown forms are named; the rest is loaded."""
    put(tmp_path, "a.jsonl", LINE)
    for name in (".x.jsonl", "~$a.csv", "a.part", "a.tmp", "a.crdownload", ".git/b.jsonl"):
        put(tmp_path, name, LINE)
    put(tmp_path, "photo.png", b"\x89PNG\r\n\x1a\n\x00\x00")
    put(tmp_path, "README.md", "# À lire\n")
    put(tmp_path, "vide.json", "")

    outcome = load_folder(tmp_path, store, now=NOW)

    assert outcome.records == 1
    assert [notice.split(":")[0] for notice in outcome.notices] == [
        "vide.json",
        "README.md, photo.png",
    ]
    assert outcome.waiting == ()


@pytest.mark.parametrize("content", [None, {}, {"a.pdf": "%PDF"}, {".a.jsonl": LINE}])
def test_nothing_to_load_says_so(tmp_path, store, content):
    """A wrong path, an empty folder, a folder without a readable form: a sentence with the path."""
    root = tmp_path / "données"
    if content is not None:
        root.mkdir()
        for name, text in content.items():
            put(root, name, text)

    with pytest.raises(UnreadableSourceError, match="données"):
        load_folder(root, store, now=NOW)

    assert store.loads == {}


HALF_WRITTEN = {
    "a.json": '{"contributions": [{"id": "1", "text": "Un banc"}, {"id": "2", "te',
    "a.jsonl": LINE + '{"id": "2", "text": "Un ab',
    "a.csv": "id;text;category\n1;Un banc;culture\n2;Un",
    "a.txt": "Submitted on lun, 12/01/2026 - 09:00\nSoumis par un utilisateur anonyme : 0.0.0.0\n"
    "Submitted values are:\n\ncategory: culture\nConstat factuel: La chap",
}


@pytest.mark.parametrize("name", HALF_WRITTEN)
def test_a_half_written_file_waits_until_it_is_whole(tmp_path, store, name):
    """Young: named, nothing stored, the others go on. Whole: loaded. Old: nothing is lost."""
    put(tmp_path, "other.jsonl", LINE)
    put(tmp_path, name, HALF_WRITTEN[name], age_s=60)

    young = load_folder(tmp_path, store, now=NOW)

    assert (young.files, len(young.waiting)) == (1, 1)
    assert young.waiting[0].startswith(name)
    assert store.loads[1] == list(young.waiting)
    assert len(store.files) == 1

    old = load_folder(tmp_path, store, now=NOW + timedelta(minutes=11))

    assert (old.files, old.unchanged, old.waiting) == (1, 1, ())
    assert old.records == 1
    assert old.broken == (0 if name == "a.txt" else 1)


def test_a_waiting_file_says_when_it_is_loaded_at_the_latest(tmp_path, store):
    """The moment after which the file is taken as it is, in the town's time."""
    put(tmp_path, "a.jsonl", HALF_WRITTEN["a.jsonl"], age_s=60)

    (said,) = load_folder(tmp_path, store, now=NOW).waiting

    assert "2026-02-01 13:09:00 (Europe/Paris)" in said


OPEN_ENDED = {
    "a.csv": "id;text\n1;Un banc\n2;Un abri",
    "a.txt": "Submitted on lun, 12/01/2026 - 09:00\nSoumis par un utilisateur anonyme : 0.0.0.0\n"
    "Submitted values are:\n\ncategory: culture\nConstat factuel: La chapelle.\n\n"
    "Vos idées d'améliorations: Un toit",
}


@pytest.mark.parametrize("name", OPEN_ENDED)
def test_a_fresh_file_without_a_last_line_end_is_loaded_at_once_after_a_pause(
    tmp_path, store, name
):
    """It may be whole: unchanged half a minute after it was written, it is."""
    put(tmp_path, name, OPEN_ENDED[name], age_s=10)
    pauses = []

    outcome = load_folder(tmp_path, store, now=NOW, pause=pauses.append)
    load_folder(tmp_path, store, now=NOW, pause=pauses.append)

    assert pauses == [20]
    assert (outcome.files, outcome.waiting) == (1, ())


@pytest.mark.parametrize("name", OPEN_ENDED)
def test_a_file_that_grows_in_the_pause_waits(tmp_path, store, name):
    """Its last words were cut off: nothing of them is stored until the file is still."""
    path = put(tmp_path, name, OPEN_ENDED[name], age_s=10)

    def grow(_seconds):
        path.write_text(OPEN_ENDED[name] + " couvert\n")

    young = load_folder(tmp_path, store, now=NOW, pause=grow)
    later = load_folder(tmp_path, store, now=NOW, pause=grow)

    assert (young.files, len(young.waiting)) == (0, 1)
    assert (later.files, later.waiting) == (1, ())


@pytest.mark.parametrize(
    ("name", "content", "age_s"),
    [
        pytest.param("a.csv", OPEN_ENDED["a.csv"], 30, id="still_for_long_enough"),
        pytest.param("a.csv", OPEN_ENDED["a.csv"] + "\n", 1, id="line_end"),
        pytest.param("a.csv", (OPEN_ENDED["a.csv"] + "\n").encode("utf-16"), 1, id="utf16"),
        pytest.param("a.json", json.dumps([{"text": "Un banc"}]), 1, id="json"),
        pytest.param("a.jsonl", LINE.strip(), 1, id="jsonl"),
    ],
)
def test_nobody_waits_for_a_file_that_is_whole(tmp_path, store, name, content, age_s):
    """A line end, a closing bracket or half a minute of silence is enough."""
    put(tmp_path, name, content, age_s=age_s)
    pauses = []

    assert load_folder(tmp_path, store, now=NOW, pause=pauses.append).files == 1
    assert pauses == []


@pytest.mark.parametrize(
    ("limit", "sound", "broken"), [("MAX_ENTRIES", 3, 0), ("MAX_BROKEN", 1, 3)]
)
def test_the_work_on_one_file_is_bounded(tmp_path, store, monkeypatch, limit, sound, broken):
    """After the last entry that is read the rest is one broken record; exactly as many are all read."""
    monkeypatch.setattr(loading, limit, 3)
    content = LINE * sound + "x\n" * broken
    put(tmp_path, "exact.jsonl", content)
    put(tmp_path, "more.jsonl", content + LINE * 50)
    put(tmp_path, "other.jsonl", LINE)

    outcome = load_folder(tmp_path, store, now=NOW)

    assert (outcome.files, outcome.records) == (3, 2 * sound + 1)
    assert outcome.broken == 2 * broken + 1
    (rest,) = [entry for entry in store.all(BrokenRecord) if entry.reason == "too_many"]
    assert rest.locator == f"after line {sound + broken}"
    assert "le reste n'est pas lu" in rest.detail


def test_operators_read_one_language(tmp_path, store):
    """The error of a folder without anything to load is English throughout."""
    put(tmp_path, "photo.png", b"\x89PNG\r\n\x1a\n\x00\x00")

    with pytest.raises(UnreadableSourceError) as caught:
        load_folder(tmp_path, store, now=NOW)

    assert "photo.png: of no known form, left alone" in str(caught.value)
    assert str(caught.value).isascii()


def test_papers_alone_are_an_empty_inbox_and_a_broken_file_is_not(tmp_path, store):
    """The hourly load of a folder of papers finds nothing to do; a file it cannot read is its business."""
    put(tmp_path, "arrete.pdf", b"%PDF-1.7\n")

    with pytest.raises(EmptySourceError, match="read by document_intake"):
        load_folder(tmp_path, store, now=NOW)

    (tmp_path / "a.json").symlink_to("a.json")
    with pytest.raises(UnreadableSourceError, match="a link out of the folder") as caught:
        load_folder(tmp_path, store, now=NOW)
    assert not isinstance(caught.value, EmptySourceError)


def test_only_waiting_files_are_no_error(tmp_path, store):
    """A folder whose only file is still being written is loaded at a later pass."""
    put(tmp_path, "a.json", "", age_s=5)

    outcome = load_folder(tmp_path, store, now=NOW)

    assert outcome.files == 0
    assert outcome.waiting == ("a.json: empty; loaded once something is written to it.",)


def test_one_name_per_file_however_it_is_reached(tmp_path, store, monkeypatch):
    """A relative path with a detour is the same file."""
    put(tmp_path, "in/a.jsonl", LINE)
    (tmp_path / "other").mkdir()
    load_folder(tmp_path / "in", store, now=NOW)
    monkeypatch.chdir(tmp_path / "other")

    assert load_folder(Path("../in"), store, now=NOW).unchanged == 1


def test_a_file_from_the_future_does_not_wait_for_ever(tmp_path, store):
    """A clock set wrong is no reason to hold a file back."""
    put(tmp_path, "a.jsonl", HALF_WRITTEN["a.jsonl"], age_s=-10_000_000)

    assert load_folder(tmp_path, store, now=NOW).broken == 1


@pytest.mark.parametrize("act", ["grow", "vanish"])
def test_a_file_that_changes_while_it_is_read(tmp_path, act):
    """Nothing of it is stored; it is named; the others go on."""
    path = put(tmp_path, "a.jsonl", LINE * 3)
    put(tmp_path, "b.jsonl", LINE)

    class MeddledStore(MemoryStore):
        def add_file(self, load_id, file, records):
            def meddled():
                for record in records:
                    yield record
                    if file.path == path and path.exists():
                        path.unlink() if act == "vanish" else put(tmp_path, "a.jsonl", LINE * 4)

            return super().add_file(load_id, file, meddled())

    store = MeddledStore()
    outcome = load_folder(tmp_path, store, now=NOW)

    assert outcome.files == 1
    assert [file.path.name for file, _ in store.entries.values()] == ["b.jsonl"]
    said = outcome.waiting if act == "grow" else outcome.notices
    assert len(said) == 1
    assert said[0].startswith("a.jsonl")


def test_a_file_that_grows_while_it_is_fingerprinted(tmp_path, store, monkeypatch):
    """The bytes that were read are no longer the file's."""
    path = put(tmp_path, "a.jsonl", LINE)
    read = loading.fingerprint

    def slow(file):
        seen = read(file)
        path.write_text(LINE * 2)
        return seen

    monkeypatch.setattr(loading, "fingerprint", slow)
    outcome = load_folder(tmp_path, store, now=NOW)

    assert (outcome.files, len(outcome.waiting)) == (0, 1)


@pytest.mark.parametrize(
    "error", [PermissionError(13, "no"), FileNotFoundError(2, "no"), OSError(5, "io")]
)
def test_a_file_that_cannot_be_opened(tmp_path, store, monkeypatch, error):
    """It is said, and the rest goes on."""
    put(tmp_path, "a.jsonl", LINE)
    put(tmp_path, "b.jsonl", LINE)
    opened = Path.open

    def refuse(self, *arguments, **options):
        if self.name == "a.jsonl":
            raise error
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    outcome = load_folder(tmp_path, store, now=NOW)

    assert (outcome.files, len(outcome.notices)) == (1, 1)
    assert outcome.notices[0].startswith("a.jsonl")


def test_links_and_pipes(tmp_path, store):
    """No link to a folder or out of ours is followed, a link inside is the same file; all is said."""
    root = tmp_path / "in"
    put(root, "a.jsonl", LINE)
    put(tmp_path, "outside.jsonl", LINE)
    put(tmp_path, "far/away.jsonl", LINE)
    (root / "b.jsonl").symlink_to(root / "a.jsonl")
    (root / "c.jsonl").symlink_to(tmp_path / "outside.jsonl")
    (root / "d").symlink_to(tmp_path / "far")
    (root / "e.jsonl").symlink_to(root / "e.jsonl")
    (root / "f.jsonl").symlink_to(root / "gone.jsonl")
    os.mkfifo(root / "g.jsonl")

    outcome = load_folder(root, store, now=NOW)

    assert (outcome.files, outcome.records) == (1, 1)
    assert {notice.split(":")[0] for notice in outcome.notices} == {
        "d",
        "c.jsonl",
        "e.jsonl",
        "f.jsonl",
        "g.jsonl",
    }


def test_a_name_that_is_no_text(tmp_path, store):
    """A file named in another encoding is loaded under a name that any store can hold."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jsonl"))
    path.write_text(LINE)

    outcome = load_folder(tmp_path, store, now=NOW)

    assert outcome.records == 1
    ((uri, _),) = store.files
    assert uri.endswith("caf\\xe9.jsonl")
    uri.encode()


def test_days_to_come_are_ignored(tmp_path, store):
    """Today in Paris is a day, tomorrow is a mistake that is noted."""
    today, tomorrow = "2026-02-02", "2026-02-03"
    lines = [json.dumps({"text": day, "submitted_at": day}) for day in (today, tomorrow)]
    put(tmp_path, "a.jsonl", "\n".join(lines) + "\n")

    load_folder(tmp_path, store, now=datetime(2026, 2, 1, 23, 30, tzinfo=UTC))

    records = store.all(Record)
    assert [str(record.submitted_on) for record in records] == [today, "None"]
    assert "futur" in records[1].metadata["date_note"]


def test_a_ledger_that_goes_away_is_not_swallowed(tmp_path, store, monkeypatch):
    """The caller decides whether to try again."""
    put(tmp_path, "a.jsonl", LINE)

    def away(*_):
        raise LedgerUnavailableError("gone")

    monkeypatch.setattr(store, "add_file", away)

    with pytest.raises(LedgerUnavailableError):
        load_folder(tmp_path, store, now=NOW)


class OddStore(MemoryStore):
    """Refuses one file, as a database does that finds a row twice."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def add_file(self, load_id, file, records):
        if file.path.name == "b.jsonl":
            raise self.error
        return super().add_file(load_id, file, records)


def test_a_file_that_the_store_refuses_costs_no_other(tmp_path):
    """All others are stored and the load is closed; then it ends red, and names the file."""
    for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
        put(tmp_path, name, LINE)
    store = OddStore(ValueError("duplicate key\nDETAIL: Le banc du quai"))

    with pytest.raises(
        RefusedFilesError, match=r"b\.jsonl: ValueError \(duplicate key\)"
    ) as caught:
        load_folder(tmp_path, store, now=NOW)

    assert [file.path.name for file, _ in store.entries.values()] == ["a.jsonl", "c.jsonl"]
    assert store.loads == {1: []}
    assert caught.value.outcome.files == 2
    assert "Le banc" not in str(caught.value)
    assert not is_transient(caught.value)


def test_a_store_that_went_away_is_no_fault_of_a_file(tmp_path):
    """Another attempt takes the load up again."""
    put(tmp_path, "b.jsonl", LINE)

    with pytest.raises(LedgerUnavailableError):
        load_folder(tmp_path, OddStore(LedgerUnavailableError("gone")), now=NOW)


def test_memory_does_not_grow_with_the_file(tmp_path):
    """Thirty megabytes of lines pass through a few."""
    line = json.dumps({"id": "1", "text": "Le port. " * 120}) + "\n"
    put(tmp_path, "a.jsonl", line * 28_000)

    class CountingStore(MemoryStore):
        def add_file(self, _load_id, _file, records):
            return LoadCounts(sum(1 for _ in records), 0, 0)

    tracemalloc.start()
    outcome = load_folder(tmp_path, CountingStore(), now=NOW)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert outcome.records == 28_000
    assert peak < 8_000_000


BYTES = st.one_of(
    st.binary(max_size=400),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(
        st.sampled_from(
            [
                LINE.strip(),
                '{"text": 1}',
                '{"text": "a',
                "{}",
                "[",
                "NaN",
                "",
                " ",
                "\x00",
                "id;text",
                'category: x"',
                "Constat factuel: a",
                "Vos idées d'améliorations: b",
                "Submitted on lun, 12/01/2026 - 09:00",
                "Soumis par x : 0.0.0.0",
                "Informations sur la soumission",
                '1;"a',
                '{"contributions": [',
                "]}",
            ]
        ),
        max_size=12,
    ).flatmap(
        lambda lines: st.sampled_from(["\n", "\r\n", "\r"]).map(
            lambda end: end.join(lines).encode()
        )
    ),
)


@settings(max_examples=300, deadline=None)
@given(
    content=BYTES, name=st.sampled_from(["a.json", "a.jsonl", "a.csv", "a.txt", "a.eml", "a.bin"])
)
@example(content=b"\xff\xfe{\x00\n\x00\xff", name="a.jsonl")
@example(content=b"[" * 5000, name="a.json")
def test_no_bytes_break_a_load_or_lose_a_line(tmp_path_factory, content, name):
    """Whatever a file holds, the load ends in order; every line of JSON lines is accounted for."""
    folder = tmp_path_factory.mktemp("any")
    path = put(folder, name, content)
    store = MemoryStore()

    try:
        outcome = load_folder(folder, store, now=NOW)
    except UnreadableSourceError:
        assert not store.files
        return

    for file, entries in store.entries.values():
        for entry in entries:
            repr(entry).encode()
            json.dumps(getattr(entry, "metadata", {}), allow_nan=False).encode()
        locators = [entry.locator for entry in entries]
        assert len(locators) == len(set(locators))
        if file.form == "jsonl":
            text = path.read_bytes().decode(file.encoding, "replace")
            lines = [line for line in text.split("\n") if line.strip(" \t\r\n")]
            assert outcome.records + outcome.broken == len(lines)


@pytest.mark.parametrize(("folder", "count"), [("contributions", 50), ("civic", 4085)])
def test_real_texts_come_out_one_for_one(store, folder, count):
    """Every entry of the real files (kept beside the project, not in it) is a record under its own id."""
    inputs = shared_data(folder)

    outcome = load_folder(inputs, store, now=NOW)

    assert (outcome.records, outcome.broken, outcome.waiting) == (count, 0, ())
    expected = Counter()
    for path in inputs.iterdir():
        if path.suffix == ".jsonl":
            expected.update(json.loads(line)["id"] for line in path.open())
        else:
            expected.update(entry["id"] for entry in json.load(path.open())["contributions"])
    assert Counter(record.external_id for record in store.all(Record)) == expected


def test_the_samples_are_what_their_page_says(store):
    """Five forms, 63 entries of 59 texts, 5 broken ones, ten days in a row, every category."""
    outcome = load_folder(SAMPLES, store, now=NOW)

    assert (outcome.files, outcome.records, outcome.broken, outcome.added) == (5, 63, 5, 59)
    assert outcome.waiting == ()
    (left_alone,) = outcome.notices
    assert left_alone.startswith("documents/arrete_circulation_quai.txt, ")
    assert "and 4 more: of no known form, left alone" in left_alone
    assert Counter(file.form for file, _ in store.entries.values()) == {
        "json": 1,
        "jsonl": 1,
        "csv": 1,
        "framaforms_mail": 2,
    }
    records = store.all(Record)
    assert {record.submitted_on for record in records} == {
        date(2026, 1, day) for day in range(12, 22)
    }
    declared = Counter(record.declared_category for record in records)
    assert min(declared[category] for category in Category) >= 6
    assert (declared[None], declared["tourisme"]) == (3, 1)
    assert "0.0.0.0" not in str(store.entries)  # noqa: S104  the address in the form, not ours
    assert Counter(entry.reason for entry in store.all(BrokenRecord)) == {
        "no_text": 2,
        "not_json": 1,
        "wrong_type": 1,
        "wrong_columns": 1,
    }


def test_a_fresh_clone_of_the_samples_does_not_wait(tmp_path, store):
    """Files just written by git are whole, and nothing in them looks cut off."""
    for path in filter(Path.is_file, SAMPLES.iterdir()):
        put(tmp_path, path.name, path.read_bytes(), age_s=1)

    assert load_folder(tmp_path, store, now=NOW).files == 5
