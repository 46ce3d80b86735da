import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from include.documents.model import Media, ParsedDocument, SetAside
from include.documents.parsing import OcrSettings, ParseLimits, parse_file, sandbox
from include.documents.parsing.messages import answer_from_json, answer_to_json
from include.documents.sniffing import sniff
from tests.hostile import TEXT, Hostile, hostile_files, pdf

LIMITS = ParseLimits(wall_s=60, cpu_s=40, markup_cpu_s=8)
NO_OCR = OcrSettings(enabled=False)
FILES = list(hostile_files())


def outcome(hostile: Hostile, answer: ParsedDocument | SetAside) -> str:
    if isinstance(answer, SetAside):
        return answer.reason
    if any(hostile.sentence in page.text.replace("\n", " ") for page in answer.pages):
        return "read"
    return "page_set_aside" if all(p.method == "set_aside" for p in answer.pages) else "mangled"


def answer_to(hostile: Hostile, folder) -> ParsedDocument | SetAside:
    media = sniff(io.BytesIO(hostile.content), hostile.name)
    if isinstance(media, SetAside):
        return media
    path = folder / "file"
    path.write_bytes(hostile.content)
    return parse_file(path, media, LIMITS, NO_OCR)


def processes_of(marker: str) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if marker in line]


def test_none_stands_in_for_another():
    """Each has a name and bytes of its own."""
    assert len(FILES) == len({file.name for file in FILES}) == len({f.content for f in FILES})


@pytest.mark.parametrize("hostile", FILES, ids=[file.name for file in FILES])
def test_a_hostile_file_ends_in_its_reason_or_is_read(hostile, tmp_path):
    """Only that file is set aside, with a sentence; what is merely odd is read."""
    answer = answer_to(hostile, tmp_path)

    assert outcome(hostile, answer) in (hostile.reasons or {"read"})
    if isinstance(answer, SetAside):
        assert answer.detail.endswith(".")
        assert len(answer.detail) > 40
    else:
        assert not any("\0" in page.text for page in answer.pages)
        assert [page.number for page in answer.pages] == list(range(1, len(answer.pages) + 1))


def test_nothing_is_left_of_a_reader_that_does_not_end(tmp_path, monkeypatch):
    """Its children end with it, and its folder goes."""
    stuck = tmp_path / "stuck.py"
    stuck.write_text(
        "import subprocess, time\nsubprocess.Popen(['sleep', '98765'])\ntime.sleep(98765)\n"
    )
    monkeypatch.setattr(sandbox, "WORKER", "stuck")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sandbox.tempfile, "tempdir", str(tmp_path))
    path = tmp_path / "file"
    path.write_bytes(b"x")

    answer = parse_file(path, Media.TEXT, ParseLimits(wall_s=1.5), NO_OCR)

    assert isinstance(answer, SetAside)
    assert answer.reason == "timeout"
    assert processes_of("sleep 98765") == []
    assert list(tmp_path.glob("parse-*")) == []


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        pytest.param(
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            "parser_died",
            "Segmentation fault",
            id="crash",
        ),
        pytest.param("1 / 0", "parser_died", "ZeroDivisionError: division by zero", id="error"),
        pytest.param(
            "import os; os.write(2, b'\\0' * 9999 + b'the end'); os.abort()",
            "parser_died",
            "the end",
            id="native",
        ),
        pytest.param("print('{\"document\": 3}')", "parser_died", "ended with 0", id="nonsense"),
        pytest.param("print('x' * 10)", "parser_died", "ended with 0", id="no_json"),
        pytest.param(
            "import os, signal; os.kill(os.getpid(), signal.SIGXCPU)",
            "timeout",
            f"ended with -{signal.SIGXCPU:d}",
            id="cpu",
        ),
    ],
)
def test_a_reader_that_dies_takes_only_its_file(code, reason, words, tmp_path, monkeypatch, caplog):
    """Whatever comes back is an answer, and its last words are in the log."""
    (tmp_path / "dying.py").write_text(code)
    monkeypatch.setattr(sandbox, "WORKER", "dying")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path = tmp_path / "file"
    path.write_bytes(b"x")

    answer = parse_file(path, Media.TEXT, ParseLimits(wall_s=20), NO_OCR)

    assert isinstance(answer, SetAside)
    assert answer.reason == reason
    assert words in caplog.text
    assert "\0" not in caplog.text
    assert len(caplog.text) < 3000


PAGE = {
    "number": 1,
    "text": "Avis",
    "method": "text",
    "confidence": None,
    "rotation": 0,
    "reason": None,
}
SOUND = {
    "pages": [PAGE],
    "title": "Avis",
    "language": "fr",
    "dated_on": "2026-01-02",
    "act_kind": "avis",
    "act_number": None,
    "warnings": ["Attention."],
    "metadata": {"width": 3, "title": "Avis"},
}


def _answered(**changes) -> str:
    return json.dumps({"document": SOUND | changes})


def test_an_answer_is_what_was_written():
    assert answer_from_json(_answered()) == answer_from_json(
        answer_to_json(answer_from_json(_answered()))
    )


@pytest.mark.parametrize(
    "said",
    [
        pytest.param("[" * 100_000, id="nested"),
        pytest.param("{}", id="nothing"),
        pytest.param(_answered(pages=[PAGE | {"text": 5}]), id="text"),
        pytest.param(_answered(pages=[PAGE | {"number": 10**30}]), id="number"),
        pytest.param(_answered(pages=[PAGE, PAGE]), id="one_page_twice"),
        pytest.param(_answered(pages=[PAGE | {"method": "magic"}]), id="method"),
        pytest.param(_answered(pages=[PAGE | {"reason": "magic"}]), id="reason"),
        pytest.param(_answered(pages=[PAGE | {"rotation": 10**9}]), id="rotation"),
        pytest.param(_answered(pages=[PAGE | {"confidence": 2}]), id="confidence"),
        pytest.param(_answered(title=["Avis"]), id="title"),
        pytest.param(_answered(act_number="1" * 100_000), id="act_number"),
        pytest.param(_answered(dated_on="hier"), id="day"),
        pytest.param(_answered(warnings="Attention."), id="warnings"),
        pytest.param(_answered(metadata={"width": {"a": 1}}), id="metadata"),
        pytest.param(_answered(metadata={"width": float("inf")}), id="infinity"),
        pytest.param(_answered(other=1), id="more"),
        pytest.param(
            json.dumps({"document": SOUND, "set_aside": {"reason": "a", "detail": "b"}}), id="both"
        ),
    ],
)
def test_an_answer_of_another_form_is_none(said):
    """A reader that a file took over says what it likes; the ledger gets what it holds."""
    with pytest.raises(ValueError):  # noqa: PT011 - whichever part is wrong
        answer_from_json(said)


def test_what_cannot_be_stored_is_left_out_of_an_answer():
    """Nor is what commands a terminal."""
    bad = "A\x00v\x1bis"
    answer = answer_from_json(
        _answered(
            pages=[PAGE | {"text": bad}], title=bad, warnings=[bad], metadata={"title": bad, bad: 1}
        )
    )

    assert isinstance(answer, ParsedDocument)
    assert (answer.title, answer.pages[0].text, answer.warnings) == ("Avis", "Avis", ("Avis",))
    assert answer.metadata == {"title": "Avis", "Avis": 1}
    refused = answer_from_json(json.dumps({"set_aside": {"reason": "damaged", "detail": bad}}))
    assert refused == SetAside("damaged", "Avis")


def test_an_answer_that_is_nested_without_end_takes_only_its_file(reader):
    assert reader("print('[' * 100_000)").reason == "parser_died"


def test_a_text_has_less_time_than_a_book_of_scans(tmp_path):
    """Five megabytes of nested tags would take hours: they are given the time of a text."""
    path = tmp_path / "file"
    path.write_bytes(b"<!DOCTYPE html>" + b"<div>" * 1_000_000)

    answer = parse_file(path, Media.HTML, ParseLimits(cpu_s=60, markup_cpu_s=2), NO_OCR)

    assert isinstance(answer, SetAside)
    assert (answer.reason, "(2 s de calcul)" in answer.detail) == ("timeout", True)


@pytest.mark.parametrize(("kills", "reason"), [(1, "seen"), (2, "parser_died")])
def test_a_reader_that_was_killed_gets_one_more_go(kills, reason, tmp_path, monkeypatch):
    """SIGKILL comes from outside: once is no fault of the file, twice sets it aside."""
    (tmp_path / "shot.py").write_text(
        "import json, os, pathlib, signal\n"
        f"tries = pathlib.Path({str(tmp_path / 'tries')!r})\n"
        "done = len(tries.read_text()) if tries.exists() else 0\n"
        "tries.write_text('x' * (done + 1))\n"
        f"if done < {kills}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "print(json.dumps({'set_aside': {'reason': 'seen', 'detail': 'at last'}}))\n"
    )
    monkeypatch.setattr(sandbox, "WORKER", "shot")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path = tmp_path / "file"
    path.write_bytes(b"x")

    answer = parse_file(path, Media.TEXT, ParseLimits(wall_s=20), NO_OCR)

    assert isinstance(answer, SetAside)
    assert answer.reason == reason
    assert (tmp_path / "tries").read_text() == "xx"


def test_a_reader_learns_no_password_of_its_starter(tmp_path, monkeypatch):
    """A hostile file that takes its reader over finds an empty house."""
    (tmp_path / "telling.py").write_text(
        "import json, os\n"
        "print(json.dumps({'set_aside': {'reason': 'seen', 'detail': ' '.join(os.environ)}}))\n"
    )
    monkeypatch.setattr(sandbox, "WORKER", "telling")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_PARTICIPATION_DB", "postgresql://secret")
    path = tmp_path / "file"
    path.write_bytes(b"x")

    answer = parse_file(path, Media.TEXT, ParseLimits(wall_s=20), NO_OCR)

    assert isinstance(answer, SetAside)
    assert answer.reason == "seen"
    assert "AIRFLOW" not in answer.detail


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child of its parent's death"
)
def test_a_reader_ends_with_a_killed_parent(tmp_path):
    """Kill -9 of the task leaves no reader at work."""
    path = tmp_path / "long.pdf"
    path.write_bytes(pdf([TEXT * 40] * 1900))
    code = (
        "from pathlib import Path\n"
        "from include.documents.parsing import parse_file\n"
        "from include.documents.model import Media\n"
        f"while True: parse_file(Path({str(path)!r}), Media.PDF)\n"
    )
    env = os.environ | {"PYTHONPATH": str(sandbox.ROOT), "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code], env=env) as parent:
        deadline = time.monotonic() + 30
        while len(workers := descendants_of(parent.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while any(map(is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert len(workers) == 2, "the starter and its worker"
    assert not any(map(is_alive, workers))


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """Read a file with code of the test's own instead of a reader; the same code for every file."""
    monkeypatch.setattr(sandbox, "WORKER", "other_reader")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path = tmp_path / "file"

    def read(code: str, content: str = "x") -> ParsedDocument | SetAside:
        (tmp_path / "other_reader.py").write_text(code)
        path.write_text(content)
        return parse_file(path, Media.TEXT, ParseLimits(wall_s=20), NO_OCR)

    return read


SAYS = "print(json.dumps({'set_aside': {'reason': 'said', 'detail': str(%s)}}))\n"


def test_readers_are_forked_from_one_process_and_share_nothing_else(reader):
    """What one file did to its reader is gone with it; the next one begins like the first."""
    code = (
        "import json, os, resource\n"
        "from include.documents.parsing import pdf\n"
        + SAYS % "[os.getppid(), os.getpid(), int(hasattr(pdf, 'spoilt')), *resource.getrlimit(0)]"
        + "pdf.spoilt = True\nresource.setrlimit(0, (5, 5))\n"
    )

    said = [json.loads(reader(code).detail) for _ in range(2)]

    (parent, first, *state), (same_parent, second, *same_state) = said
    assert parent == same_parent != os.getpid()
    assert first != second
    assert state == same_state
    assert state[0] == 0


def test_a_reader_that_takes_its_starter_along_takes_only_its_file(reader):
    """The file after it is read by a reader of a new starter."""
    killed = reader("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos.abort()\n")
    after = reader("import json\n" + SAYS % "1")

    assert isinstance(killed, SetAside)
    assert killed.reason == "parser_died"
    assert after == SetAside("said", "1")


def test_a_process_made_by_a_fork_has_a_starter_of_its_own(reader):
    """Two processes that share one would take each other's answers."""
    code = "import json, os\n" + SAYS % "os.getppid()"
    ours = reader(code)
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(tell, reader(code).detail.encode())
        os._exit(0)
    os.waitpid(pid, 0)

    assert os.read(told, 20).decode() != ours.detail
    assert reader(code) == ours


def test_a_starter_that_cannot_start_sets_nothing_aside(tmp_path, monkeypatch):
    """The trouble is ours: the file waits for a machine that can read it."""
    monkeypatch.setattr(sandbox, "STARTER", "not_there")
    monkeypatch.setattr(sandbox, "WORKER", "whatever")
    (tmp_path / "file").write_bytes(b"x")

    with pytest.raises(OSError, match="could be started"):
        parse_file(tmp_path / "file", Media.TEXT, LIMITS, NO_OCR)


def descendants_of(pid: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    children = [int(line) for line in listed.stdout.split()]
    return [each for child in children for each in (child, *descendants_of(child))]


def is_alive(pid: int) -> bool:
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        pytest.param(ParseLimits(max_pages=2), "too_many_pages", id="pages"),
        pytest.param(ParseLimits(max_characters=100), "too_large", id="characters"),
        pytest.param(ParseLimits(max_file_bytes=100), "too_large", id="bytes"),
        pytest.param(ParseLimits(wall_s=0.01), "timeout", id="time"),
        pytest.param(ParseLimits(memory_bytes=24 << 20), "parser_died", id="memory"),
    ],
)
def test_each_limit_holds(limits, reason, tmp_path):
    """Limits that are too tight: for three pages, or for more than a reader has in stock."""
    path = tmp_path / "file"
    path.write_bytes(pdf([TEXT] * (400 if reason in {"timeout", "parser_died"} else 3)))

    answer = parse_file(path, Media.PDF, limits, NO_OCR)

    assert isinstance(answer, SetAside)
    assert answer.reason in {reason, "out_of_memory"}
