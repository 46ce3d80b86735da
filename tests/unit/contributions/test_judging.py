import io
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from include.contributions import judging
from include.contributions.judging import judge_lines, main
from include.contributions.model import Category, Classification, Judgement, Validation
from include.errors import PermanentError, TransientError
from include.processing.workflow import RetryBudget

ROOT = Path(__file__).parents[3]


class DoubtingReviewer:
    """Sends every text to a person; keeps what it was shown, and may fail on request."""

    engine = "doubt"
    rubric_version = "doubt-1"

    def __init__(self):
        self.seen = []

    def validate(self, contribution):
        self.seen.append(contribution)
        if "panne" in contribution.text:
            raise PermanentError("no rules for this")
        if "coupure" in contribution.text:
            raise TransientError("try again")
        return Validation(
            decision="review",
            is_valid=None,
            violations=(),
            encouraged_aspects=(),
            reasoning=f"À lire : {contribution.text[:20]}",
            confidence=0.5,
            assessed={},
            evidence=(),
            review_reason="no_positive_evidence",
            engine=self.engine,
            rubric_version=self.rubric_version,
        )

    def classify(self, contribution):
        return Classification(
            category="undetermined",
            reasoning=f"Rien de net dans {contribution.contribution_id}.",
            confidence=0.5,
            engine=self.engine,
            rubric_version=self.rubric_version,
        )


def answers_to(*lines, reviewer=None):
    """Judge lines, given as objects or as raw bytes, and read the answers back."""
    raw = [
        line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode() + b"\n"
        for line in lines
    ]
    return [json.loads(a.json) for a in judge_lines(raw, reviewer or DoubtingReviewer())]


def test_one_whole_judgement_a_line_in_order():
    """Ids in are ids out, in order, a duplicate answered twice; each line is a Judgement."""
    ids = ["b", "a", "a", "é 🌊", ""]

    answers = answers_to(*({"id": name, "text": f"Le quai {name}"} for name in ids))

    assert [answer["id"] for answer in answers] == ids
    assert all(Judgement.model_validate(answer) for answer in answers)
    assert answers[3]["validation"]["reasoning"] == "À lire : Le quai é 🌊"


def test_numbers_as_ids_keep_their_type():
    """7 and "7" are two ids and both come back as they went in."""
    answers = answers_to({"id": 7, "text": "un"}, {"id": "7", "text": "deux"})

    assert [answer["id"] for answer in answers] == [7, "7"]


def test_both_forms_are_read():
    """A plain text, or the form's two parts and its category."""
    reviewer = DoubtingReviewer()

    answers = answers_to(
        {"id": "1", "text": "Le quai."},
        {
            "id": "2",
            "constat_factuel": "Le banc.",
            "idees_ameliorations": "Un autre.",
            "category": "logement",
        },
        {"id": "3", "text": None, "idees_ameliorations": "Un arbre."},
        reviewer=reviewer,
    )

    assert [contribution.text for contribution in reviewer.seen] == [
        "Le quai.",
        "Le banc.\n\nUn autre.",
        "Un arbre.",
    ]
    assert reviewer.seen[1].category is Category.LOGEMENT
    assert [answer["evaluation"]["completeness"] for answer in answers] == [0.3333, 1.0, 0.3333]


def test_an_unknown_category_is_none_and_says_so():
    """It is never given to one of the seven, and the reader is told."""
    reviewer = DoubtingReviewer()

    [first, second] = answers_to(
        {"id": "1", "text": "Le quai.", "category": "sport"},
        {"id": "2", "text": "Le quai.", "category": ["culture"]},
        reviewer=reviewer,
    )

    assert [contribution.category for contribution in reviewer.seen] == [None, None]
    assert "« sport »" in first["evaluation"]["warnings"][0]
    assert "culture" in second["evaluation"]["warnings"][0]


def test_a_text_beside_its_parts_is_not_dropped_in_silence():
    """The parts are judged, and the evaluation says that the third field was not."""
    [answer] = answers_to({"id": "1", "text": "Un", "constat_factuel": "Deux"})

    assert "text a été ignoré" in answer["evaluation"]["warnings"][0]


@pytest.mark.parametrize(
    ("line", "line_id", "reason"),
    [
        pytest.param(b"{not json}\n", None, "not_json", id="not_json"),
        pytest.param(b"[" * 200_000 + b"\n", None, "not_json", id="nested_too_deep"),
        pytest.param(b'{"id": ' + b"9" * 5000 + b"}\n", None, "not_json", id="endless_number"),
        pytest.param(b'{"id": "1", "text": "\xff"}\n', None, "not_utf8", id="not_utf8"),
        pytest.param(b'"text"\n', None, "not_an_object", id="not_an_object"),
        pytest.param(b'{"text": "Le quai."}\n', None, "no_id", id="no_id"),
        pytest.param(b'{"id": null, "text": "a"}\n', None, "no_id", id="null_id"),
        pytest.param(b'{"id": true, "text": "a"}\n', None, "no_id", id="true_is_no_id"),
        pytest.param(b'{"id": NaN, "text": "a"}\n', None, "no_id", id="nan_is_no_id"),
        pytest.param(b'{"id": "1"}\n', "1", "no_text", id="no_text"),
        pytest.param(b'{"id": 4, "text": " \\n"}\n', 4, "no_text", id="blank_text"),
        pytest.param(b'{"id": "1", "text": ["a"]}\n', "1", "not_text", id="text_is_a_list"),
        pytest.param(
            json.dumps({"id": "1", "text": "a" * 60_001}).encode(), "1", "too_long", id="long_text"
        ),
        pytest.param(b'{"id": "1", "text": "panne"}\n', "1", "judgement_failed", id="failing"),
    ],
)
def test_a_broken_line_is_answered_and_the_rest_goes_on(line, line_id, reason):
    """Its answer names the id when there is one, the line, the reason and a sentence."""
    before, broken, after = answers_to(
        {"id": "before", "text": "un"}, line, {"id": "after", "text": "deux"}
    )

    assert (before["id"], after["id"]) == ("before", "after")
    assert "validation" in before
    assert "validation" in after
    assert broken["id"] == line_id
    assert (broken["error"]["line"], broken["error"]["reason"]) == (2, reason)
    assert broken["error"]["detail"]
    assert set(broken) == {"id", "error"}


def test_blank_lines_are_skipped_but_counted():
    """Line numbers are those of the file; a byte order mark is no part of the first line."""
    answers = answers_to(b"\xef\xbb\xbf\n", b"  \r\n", {"id": "1", "text": "un"}, b"\n", b"oops")

    assert [answer["id"] for answer in answers] == ["1", None]
    assert answers[1]["error"]["line"] == 5


def test_a_byte_order_mark_before_the_first_object():
    """Files saved by other systems begin with one."""
    [answer] = answers_to(b'\xef\xbb\xbf{"id": "1", "text": "un"}\r\n')

    assert "validation" in answer


def test_unstorable_characters_are_replaced_one_for_one():
    """NUL and lone surrogates become U+FFFD, with a warning; the id comes back untouched."""
    reviewer = DoubtingReviewer()

    [answer] = answers_to(b'{"id": "\\ud83d", "text": "a\\u0000b\\ud83dc"}', reviewer=reviewer)

    assert reviewer.seen[0].text == "a\ufffdb\ufffdc"
    assert answer["id"] == "\ud83d"
    assert "illisibles" in answer["evaluation"]["warnings"][0]


def test_a_provider_that_is_down_does_not_hold_every_line_up(monkeypatch):
    """One retry budget for the whole stream: when it is spent, each line gets one attempt."""
    monkeypatch.setattr(judging, "RetryBudget", lambda: RetryBudget(left_s=0))
    reviewer = DoubtingReviewer()

    answers = answers_to(*({"id": n, "text": "coupure"} for n in range(50)), reviewer=reviewer)

    assert [answer["error"]["reason"] for answer in answers] == ["judgement_failed"] * 50
    assert len(reviewer.seen) == 50


def write_lines(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_the_command_writes_a_file_and_counts(tmp_path, capsys):
    """Broken lines are counted at the end and do not fail the command."""
    source = write_lines(tmp_path / "in.jsonl", {"id": "1", "text": "un"}, {"id": "2"})
    target = tmp_path / "out.jsonl"

    code = main([str(source), str(target)], DoubtingReviewer())

    assert code == 0
    assert [json.loads(line)["id"] for line in target.read_text("utf-8").splitlines()] == ["1", "2"]
    assert "2 lines answered, 1 of them with an error" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_an_empty_input_gives_an_empty_output(tmp_path):
    """Nothing in, nothing out, and no error."""
    (tmp_path / "in.jsonl").touch()

    assert main([str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl")], DoubtingReviewer()) == 0

    assert (tmp_path / "out.jsonl").read_bytes() == b""


def test_input_may_be_the_output(tmp_path):
    """The input is read to its end before the output takes its place."""
    path = write_lines(tmp_path / "texts.jsonl", {"id": "1", "text": "un"})

    assert main([str(path), str(path)], DoubtingReviewer()) == 0

    assert "validation" in json.loads(path.read_text("utf-8"))


class InterruptedReviewer(DoubtingReviewer):
    """Is interrupted at the third text."""

    def validate(self, contribution):
        if len(self.seen) == 2:
            raise KeyboardInterrupt
        return super().validate(contribution)


def test_an_interrupted_command_leaves_the_old_output(tmp_path):
    """The output appears whole or stays as it was; no draft is left behind."""
    lines = [{"id": n, "text": "un"} for n in range(5)]
    source = write_lines(tmp_path / "in.jsonl", *lines)
    target = tmp_path / "out.jsonl"
    target.write_text("yesterday", encoding="utf-8")

    with pytest.raises(KeyboardInterrupt):
        main([str(source), str(target)], InterruptedReviewer())

    assert target.read_text(encoding="utf-8") == "yesterday"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        pytest.param("missing.jsonl", "out.jsonl", id="no_input"),
        pytest.param(".", "out.jsonl", id="input_is_a_folder"),
        pytest.param("in.jsonl", "missing/out.jsonl", id="no_output_folder"),
        pytest.param("in.jsonl", ".", id="output_is_a_folder"),
    ],
)
def test_an_unusable_path_is_one_sentence_and_exit_code_1(source, target, tmp_path, capsys):
    """No traceback: the sentence names the path."""
    write_lines(tmp_path / "in.jsonl", {"id": "1", "text": "un"})

    code = main([str(tmp_path / source), str(tmp_path / target)], DoubtingReviewer())

    assert code == 1
    message = capsys.readouterr().err
    assert message.startswith("judge: ")
    assert str(tmp_path) in message
    assert not (tmp_path / "out.jsonl").exists()


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    """What is no regular file keeps its place: a device must not be taken away from everybody."""
    source = write_lines(tmp_path / "in.jsonl", {"id": "1", "text": "un"})
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    code = main([str(source), str(pipe)], DoubtingReviewer())
    answer = os.read(reader, 65536)
    os.close(reader)

    assert code == 0
    assert json.loads(answer)["id"] == "1"
    assert pipe.is_fifo()


PIPED = """
import sys
sys.path.insert(0, {folder!r})
from include.contributions.judging import main
from test_judging import FlakyReviewer
sys.exit(main(["-", "-"], FlakyReviewer()))
"""


class FlakyReviewer(DoubtingReviewer):
    """Needs a second attempt for its first text."""

    def validate(self, contribution):
        if not self.seen:
            self.seen.append(contribution)
            raise TransientError("try again")
        return super().validate(contribution)


def piped(stdin, **options):
    script = PIPED.format(folder=str(Path(__file__).parent))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", script],
        input=stdin,
        env=environment,
        timeout=60,
        check=False,
        **options,
    )


def test_standard_streams_carry_nothing_but_answers():
    """With - for both, what is logged about a retry goes to standard error."""
    done = piped(b'{"id": 1, "text": "un"}\n{"id": 2, "text": "deux"}\n', capture_output=True)

    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [1, 2]
    assert b"2 lines answered" in done.stderr
    assert done.returncode == 0


def test_a_reader_that_leaves_is_no_traceback():
    """`... - - | head -1` ends with exit code 1 and one sentence."""
    read_end, write_end = os.pipe()
    os.close(read_end)

    done = piped(b'{"id": 1, "text": "un"}\n' * 2000, stdout=write_end, stderr=subprocess.PIPE)
    os.close(write_end)

    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert done.stderr.count(b"\n") == 2
    assert b"Broken pipe" in done.stderr


def test_a_line_without_end_does_not_fill_the_memory(monkeypatch):
    """Of a line over the limit only its first part is kept; the next line is judged."""
    monkeypatch.setattr(judging, "MAX_LINE_BYTES", 1000)
    stream = io.BytesIO(b"x" * 5_000_000 + b'\n{"id": "1", "text": "un"}\n' + b"y" * 1001)

    lines = list(judging._bounded_lines(stream))
    answers = [json.loads(a.json) for a in judge_lines(lines, DoubtingReviewer())]

    assert [len(line) for line in lines] == [1001, 26, 1001]
    assert [answer.get("error", {}).get("reason") for answer in answers] == [
        "too_long",
        None,
        "too_long",
    ]


def test_memory_stays_flat():
    """Ten times the lines need no more memory: nothing is collected."""

    class Forgetful(DoubtingReviewer):
        @property
        def seen(self):
            return []

        @seen.setter
        def seen(self, value):
            pass

    def peak(count):
        lines = (b'{"id": %d, "text": "Le quai du port"}\n' % n for n in range(count))
        tracemalloc.start()
        for _ in judge_lines(lines, Forgetful()):
            pass
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(50)

    assert peak(2000) < peak(200) + 100_000
