"""One step over one chunk: what is stored, what is set aside, what is tried again."""

import json
from dataclasses import dataclass, field

import pytest

from include.contributions.analysis import (
    DEATHS,
    SAVE_AFTER_S,
    SAVE_EVERY,
    SYSTEMATIC,
    Lease,
    WaitingItem,
    judge_chunk,
)
from include.contributions.model import Contribution, Validation
from include.contributions.processors import contribution_workflow
from include.contributions.reviewer import embedded_reviewer
from include.errors import (
    LeaseLostError,
    ProcessingError,
    RubricChangedError,
    TransientError,
)
from include.processing import workflow

REVIEWER = embedded_reviewer()
RUBRIC = REVIEWER.rubric_version


@pytest.fixture
def no_waiting(monkeypatch):
    """Wait for nothing between the attempts inside a call: many of them fail here."""
    for name in ("WAIT_INITIAL_S", "WAIT_MAX_S", "WAIT_JITTER_S"):
        monkeypatch.setattr(workflow, name, 0.0)


@dataclass
class MemoryStore:
    """The ledger's chunk in memory: hands out what lacks a result, keeps what is saved."""

    contributions: list[Contribution]
    results: dict[tuple[str, str], str] = field(default_factory=dict)
    set_aside: dict[str, str] = field(default_factory=dict)
    begun: dict[str, int] = field(default_factory=dict)
    saves: int = 0

    def take_lease(self, chunk_id):
        return Lease(chunk_id, "token", REVIEWER.rubric_version)

    def waiting_items(self, lease, step, needs, limit):
        waiting = [
            c
            for c in self.contributions
            if (c.contribution_id, step) not in self.results
            and c.contribution_id not in self.set_aside
        ]
        for start in range(0, len(waiting), limit):
            yield [
                WaitingItem(c, c.input_hash, {}, self.begun.get(c.contribution_id, 0))
                for c in waiting[start : start + limit]
            ]

    def begin_alone(self, lease, step, item_id):
        self.begun[item_id] = self.begun.get(item_id, 0) + 1

    def end_alone(self, lease, step, item_id):
        self.begun[item_id] -= 1
        if not self.begun[item_id]:
            del self.begun[item_id]

    def has_results(self, lease, step):
        return any(each == step for _, each in self.results)

    def save(self, lease, step, answers, failures):
        self.saves += 1
        answers = list(answers)
        self.results |= {(answer.item_id, step): answer.output for answer in answers}
        self.set_aside |= {failure.item_id: failure.reason for failure in failures}
        for each in [*answers, *failures]:
            self.begun.pop(each.item_id, None)
        return len(answers)


@dataclass
class Faulty:
    """The embedded reviewer, but for the texts that make it raise."""

    faults: dict[str, Exception]
    engine: str = REVIEWER.engine
    rubric_version: str = REVIEWER.rubric_version
    asked: list[str] = field(default_factory=list)

    def validate(self, contribution):
        self.asked.append(contribution.contribution_id)
        fault = self.faults.get(contribution.contribution_id)
        if fault:
            raise fault
        return REVIEWER.validate(contribution)

    def classify(self, contribution):
        return REVIEWER.classify(contribution)


def store_of(count):
    return MemoryStore(
        [
            Contribution(f"c-{n:04}", f"Le banc numéro {n} du quai d'Audierne est cassé.")
            for n in range(count)
        ]
    )


def validating(reviewer):
    return contribution_workflow(reviewer).steps[0]


def test_ids_in_are_ids_out_and_a_second_call_does_nothing():
    """Every contribution gets one result; what is stored is not judged again."""
    store, reviewer = store_of(SAVE_EVERY + 1), Faulty({})

    first = judge_chunk(1, validating(reviewer), store, RUBRIC)
    second = judge_chunk(1, validating(reviewer), store, RUBRIC)

    assert (first.taken, first.stored, first.set_aside) == (SAVE_EVERY + 1,) * 2 + (0,)
    assert (second.taken, second.stored) == (0, 0)
    assert sorted(store.results) == [(c.contribution_id, "validate") for c in store.contributions]
    assert len(reviewer.asked) == SAVE_EVERY + 1
    assert store.saves == 2


def test_a_text_that_breaks_the_reviewer_is_set_aside_and_the_rest_goes_on():
    """It is never accepted, and it does not hold up its chunk."""
    store = store_of(3)

    counts = judge_chunk(1, validating(Faulty({"c-0001": ValueError("odd")})), store, RUBRIC)

    assert (counts.stored, counts.set_aside) == (2, 1)
    assert store.set_aside == {"c-0001": "ValueError"}
    assert ("c-0001", "validate") not in store.results


def test_what_another_attempt_may_mend_is_left_for_it():
    """A transient error fails the attempt; the batches before it stay."""
    store = store_of(SAVE_EVERY + 10)
    fault = {f"c-{SAVE_EVERY + 1:04}": TransientError("away")}

    with pytest.raises(ProcessingError, match="away"):
        judge_chunk(1, validating(Faulty(fault)), store, RUBRIC)

    assert len(store.results) == SAVE_EVERY
    assert store.set_aside == {}


def test_on_the_last_attempt_one_odd_text_does_not_hold_up_its_chunk():
    """What still cannot be judged then waits for a person, with the reason."""
    store = store_of(3)

    judge_chunk(
        1, validating(Faulty({"c-0001": TransientError("away")})), store, RUBRIC, last_attempt=True
    )

    assert store.set_aside == {"c-0001": "TransientError"}
    assert len(store.results) == 2


def test_a_reviewer_that_fails_on_everything_fails_the_step():
    """A broken step must not quietly set a whole town's texts aside."""
    store = store_of(SYSTEMATIC + 5)
    faults = {c.contribution_id: ValueError("broken") for c in store.contributions}

    with pytest.raises(ProcessingError, match="broken"):
        judge_chunk(1, validating(Faulty(faults)), store, RUBRIC)

    assert store.results == {}
    assert store.set_aside == {}


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("first", [SAVE_EVERY, 0], ids=["after_a_save", "at_the_start"])
def test_odd_texts_in_a_row_do_not_hold_up_their_chunk_for_ever(first):
    """Twenty of them are set aside, in the last attempt at the latest, and the rest is judged."""
    store = store_of(SAVE_EVERY + SYSTEMATIC + 5)
    odd = {f"c-{n:04}": ValueError("odd") for n in range(first, first + SYSTEMATIC)}

    if not first:
        with pytest.raises(ProcessingError, match="odd"):
            judge_chunk(1, validating(Faulty(odd)), store, RUBRIC)
        assert store.set_aside == {}
    judge_chunk(1, validating(Faulty(odd)), store, RUBRIC, last_attempt=not first)

    assert set(store.set_aside) == set(odd)
    assert len(store.results) == SAVE_EVERY + 5


@pytest.mark.usefixtures("no_waiting")
def test_results_of_an_earlier_attempt_say_that_the_step_is_not_broken():
    """What is left of a chunk may be nothing but odd texts."""
    store = store_of(SYSTEMATIC + 1)
    odd = {c.contribution_id: ValueError("odd") for c in store.contributions[1:]}
    store.results["c-0000", "validate"] = "{}"

    judge_chunk(1, validating(Faulty(odd)), store, RUBRIC)

    assert set(store.set_aside) == set(odd)


@pytest.mark.usefixtures("no_waiting")
def test_a_broken_step_sets_nothing_aside_in_the_last_attempt_either():
    """Through the whole chunk nothing succeeded, over several batches."""
    store = store_of(SAVE_EVERY + SYSTEMATIC)
    faults = {c.contribution_id: ValueError("broken") for c in store.contributions}

    with pytest.raises(ProcessingError, match="broken"):
        judge_chunk(1, validating(Faulty(faults)), store, RUBRIC, last_attempt=True)

    assert (store.results, store.set_aside) == ({}, {})


@dataclass
class Garbled(Faulty):
    """A reviewer whose words hold what no database takes."""

    words: str = ""

    def validate(self, contribution):
        sound = super().validate(contribution)
        return sound.model_copy(update={"reasoning": self.words, "engine": "model\x00"})


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("odd", ["\x00", "\ud800"], ids=["nul", "lone_surrogate"])
def test_what_a_reviewer_writes_can_be_stored(odd):
    """One NUL in an answer or an error must not hold up its whole batch at the database."""
    store, saved = store_of(2), []
    fault = {"c-0001": ValueError(f"bad {odd} answer")}
    kept = store.save

    def save(lease, step, answers, failures):
        saved.extend([*answers, *failures])
        return kept(lease, step, answers, failures)

    store.save = save
    judge_chunk(1, validating(Garbled(fault, words=f"Un avis {odd}é")), store, RUBRIC)

    answer, failure = saved
    assert json.loads(answer.output)["reasoning"] == "Un avis \ufffdé"
    assert answer.engine == "model\ufffd"
    assert "bad \ufffd answer" in failure.detail
    assert Validation.model_validate_json(answer.output).decision is not None


def test_rules_that_changed_since_the_chunk_was_cut_store_nothing():
    """A run never mixes the judgements of two rubrics."""
    store = store_of(2)

    with pytest.raises(RubricChangedError, match="cut under"):
        judge_chunk(1, validating(Faulty({})), store, "embedded-newer")

    assert store.results == {}


class SlowClock:
    """Each judgement of a slow model takes two seconds."""

    now = 0.0

    def __call__(self):
        self.now += 2.0
        return self.now


def test_a_slow_reviewer_loses_a_few_seconds_of_work_and_not_a_batch():
    """What is judged is saved when some seconds went by, however few contributions that is."""
    store = store_of(20)
    gone = Faulty({"c-0012": Killed()})

    with pytest.raises(Killed):
        judge_chunk(1, validating(gone), store, RUBRIC, clock=SlowClock())

    assert 12 - SAVE_AFTER_S / 2 - 1 <= len(store.results) <= 12


def test_a_quick_reviewer_saves_whole_batches():
    """Time alone makes no transactions: a batch that is done within the seconds is one."""
    store = store_of(SAVE_EVERY)

    judge_chunk(1, validating(Faulty({})), store, RUBRIC, clock=lambda: 0.0)

    assert store.saves == 1


class Killed(BaseException):
    """The process ends here: no handler of the project sees it."""


def test_a_text_that_kills_its_process_is_found_and_set_aside():
    """It is named by the deaths it was judged alone at; the others get their results."""
    store, reviewer = store_of(30), Faulty({"c-0017": Killed()})
    with pytest.raises(Killed):
        judge_chunk(1, validating(reviewer), store, RUBRIC)
    assert store.results == {}

    for deaths in (1, 2):
        with pytest.raises(Killed):
            judge_chunk(1, validating(reviewer), store, RUBRIC, after_death=True)
        assert len(store.results) == 17
        assert store.begun == {"c-0017": deaths}
    # The next run of another day knows it too.
    counts = judge_chunk(2, validating(reviewer), store, RUBRIC)

    assert (counts.stored, counts.set_aside) == (12, 1)
    assert store.set_aside == {"c-0017": "process_died"}
    assert store.begun == {}


def test_a_death_that_was_no_texts_fault_sets_nothing_aside():
    """A machine that went away once costs a slower batch, nothing else."""
    store = store_of(SAVE_EVERY + 3)

    counts = judge_chunk(1, validating(Faulty({})), store, RUBRIC, after_death=True)

    assert (counts.stored, counts.set_aside) == (SAVE_EVERY + 3, 0)
    assert store.begun == {}
    assert store.saves == SAVE_EVERY + 1


def test_a_reviewer_that_is_away_while_a_text_is_judged_alone_is_no_death():
    """Only a process that did not come back speaks against a text, however often the rest fails."""
    store, away = store_of(3), Faulty({"c-0001": TransientError("away")})

    for _ in range(DEATHS + 1):
        with pytest.raises(ProcessingError, match="away"):
            judge_chunk(1, validating(away), store, RUBRIC, after_death=True)
        assert store.begun == {}
    judge_chunk(1, validating(Faulty({})), store, RUBRIC, after_death=True)

    assert len(store.results) == 3
    assert store.set_aside == {}


def test_a_failure_alone_keeps_the_deaths_before_it():
    """One note is taken back, not the whole count: the text killed its process once already."""
    store = store_of(1)
    for fault in (Killed(), TransientError("away")):
        with pytest.raises((Killed, ProcessingError)):
            judge_chunk(1, validating(Faulty({"c-0000": fault})), store, RUBRIC, after_death=True)

        assert store.begun == {"c-0000": 1}


def test_a_lease_that_is_lost_while_a_text_is_judged_alone_is_no_death(monkeypatch):
    """The attempt that took the chunk over must not inherit a note of an attempt that lives."""
    store = store_of(2)

    def lost(*_):
        raise LeaseLostError("another attempt has it")

    monkeypatch.setattr(store, "save", lost)

    with pytest.raises(LeaseLostError):
        judge_chunk(1, validating(Faulty({})), store, RUBRIC, after_death=True)

    assert store.begun == {}


def test_the_error_on_its_way_up_is_not_hidden_by_a_note_that_stays(monkeypatch):
    """The ledger may be what failed: then the note cannot be taken back, and the cause is still told."""
    store = store_of(1)

    def gone(*_):
        raise TransientError("no ledger")

    monkeypatch.setattr(store, "end_alone", gone)

    with pytest.raises(ProcessingError, match="away"):
        judge_chunk(
            1,
            validating(Faulty({"c-0000": TransientError("away")})),
            store,
            RUBRIC,
            after_death=True,
        )


def test_a_reviewer_that_fails_on_everything_after_a_death_sets_nothing_aside():
    """One by one it is the step that is broken as well, in every attempt."""
    store = store_of(SYSTEMATIC + 5)
    faults = {c.contribution_id: ValueError("broken") for c in store.contributions}

    for _ in range(2):
        with pytest.raises(ProcessingError, match="broken"):
            judge_chunk(1, validating(Faulty(faults)), store, RUBRIC, after_death=True)

    assert (store.results, store.set_aside, store.begun, store.saves) == ({}, {}, {}, 0)


@pytest.mark.parametrize("odd", ["c-0000", "c-0002", "c-0004"])
def test_an_odd_text_judged_alone_is_set_aside_beside_the_answers(odd):
    """It waits for the first answer, or for the end of its batch, and its note is gone at once."""
    store = store_of(5)

    counts = judge_chunk(
        1, validating(Faulty({odd: ValueError("odd")})), store, RUBRIC, after_death=True
    )

    assert (counts.stored, counts.set_aside, counts.taken) == (4, 1, 5)
    assert store.set_aside == {odd: "ValueError"}
    assert store.begun == {}
