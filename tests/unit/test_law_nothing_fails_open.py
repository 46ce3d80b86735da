"""Law 1: no error, time-out or unreadable answer ever becomes an acceptance."""

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from include.contributions.analysis import Lease, WaitingItem, judge_chunk
from include.contributions.model import STATE_OF_DECISION, Contribution, Decision, Validation
from include.contributions.processors import contribution_workflow, judge
from include.contributions.reviewer import embedded_reviewer
from include.errors import PermanentError, TransientError, UnreadableAnswerError
from include.processing import workflow

REVIEWER = embedded_reviewer()

GOOD = "Je propose de poser deux bancs sur le quai d'Audierne, près de la criée, pour les anciens."

FAULTS = (
    TransientError("away"),
    PermanentError("no"),
    UnreadableAnswerError("not JSON"),
    TimeoutError("30 s were over"),
    ValueError("odd"),
    ConnectionError("reset"),
    RecursionError(),
    MemoryError(),
)
NONSENSE = (
    None,
    "accept",
    {"decision": "accept", "is_valid": True},
    b"accept",
    1,
    [],
    Decision.ACCEPT,
)


@dataclass
class Unsound:
    """Fails on some texts in some way, and judges the others soundly."""

    behaviours: list
    engine: str = REVIEWER.engine
    rubric_version: str = REVIEWER.rubric_version

    def validate(self, contribution):
        behaviour = self.behaviours[int(contribution.contribution_id)]
        if isinstance(behaviour, Exception):
            raise behaviour
        return REVIEWER.validate(contribution) if behaviour == "sound" else behaviour

    def classify(self, contribution):
        return REVIEWER.classify(contribution)


@dataclass
class Chunk:
    """Keeps what a step stores and sets aside."""

    texts: list
    stored: dict = field(default_factory=dict)
    set_aside: set = field(default_factory=set)

    def take_lease(self, chunk_id):
        return Lease(chunk_id, "token", REVIEWER.rubric_version)

    def waiting_items(self, lease, step, needs, limit):
        yield [WaitingItem(text, text.input_hash, {}) for text in self.texts]

    def has_results(self, lease, step):
        return bool(self.stored)

    def save(self, lease, step, answers, failures):
        self.stored |= {answer.item_id: json.loads(answer.output) for answer in answers}
        self.set_aside |= {failure.item_id for failure in failures}
        return len(self.stored)


@pytest.fixture(scope="module", autouse=True)
def no_waiting():
    """Wait for nothing between attempts: what is tested is what they lead to."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WAIT_INITIAL_S", "WAIT_MAX_S", "WAIT_JITTER_S"):
            patch.setattr(workflow, name, 0.0)
        yield


@settings(max_examples=60, deadline=None)
@given(
    behaviours=st.lists(
        st.just("sound") | st.sampled_from(FAULTS) | st.sampled_from(NONSENSE),
        min_size=1,
        max_size=6,
    ),
    last=st.booleans(),
)
def test_only_a_sound_answer_accepts(behaviours, last):
    """Whatever a reviewer does on a text, that text is accepted only by a whole, sound answer."""
    texts = [Contribution(str(n), f"{GOOD} ({n})") for n in range(len(behaviours))]
    chunk = Chunk(texts)
    step = contribution_workflow(Unsound(behaviours)).steps[0]

    try:
        judge_chunk(1, step, chunk, REVIEWER.rubric_version, last_attempt=last)
        whole = True
    except Exception:
        # The task is red, which is never an acceptance; but only an unsound reviewer may make it so.
        if all(behaviour == "sound" for behaviour in behaviours):
            raise
        whole = False

    for number, behaviour in enumerate(behaviours):
        accepted = chunk.stored.get(str(number), {}).get("decision") == "accept"
        assert not accepted or behaviour == "sound"
    if whole:
        # Ids in are ids out: what has no answer is set aside with its reason, and nothing is both.
        assert set(chunk.stored) | chunk.set_aside == {text.contribution_id for text in texts}
        assert set(chunk.stored) & chunk.set_aside == set()


@pytest.mark.parametrize("behaviour", [*FAULTS, *NONSENSE], ids=lambda each: repr(each)[:40])
def test_in_process_there_is_no_answer_instead_of_an_acceptance(behaviour):
    """The same holds where no ledger stands behind: an error, never a judgement."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the reviewer's affair
        judge(Contribution("0", GOOD), Unsound([behaviour]))
    assert caught.value is not None


def sound(decision):
    text = Contribution("0", GOOD)
    answer = REVIEWER.validate(text).model_dump()
    assert answer["decision"] == Decision.ACCEPT
    return answer | decision


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"evidence": ()}, id="accepts_without_evidence"),
        pytest.param({"is_valid": None}, id="accepts_without_saying_valid"),
        pytest.param({"is_valid": False}, id="accepts_what_is_not_valid"),
        pytest.param(
            {"violations": ({"article": "spam_ou_publicite", "message": "x"},)},
            id="accepts_a_violation",
        ),
        pytest.param({"decision": "refused"}, id="refuses_by_machine"),
        pytest.param({"decision": "review", "review_reason": "x"}, id="asks_but_says_valid"),
        pytest.param(
            {"decision": "refusal_proposed", "is_valid": False}, id="proposes_without_violation"
        ),
        pytest.param({"confidence": float("nan")}, id="confidence_is_no_number"),
    ],
)
def test_an_answer_that_contradicts_itself_is_none(changes):
    """The model of an answer has no room for an acceptance without grounds, nor for a refusal."""
    with pytest.raises(ValidationError):
        Validation.model_validate(sound(changes))


def test_a_machine_has_three_outcomes_and_none_of_them_refuses():
    """Only a person refuses: no outcome leads to the state ``refused``."""
    assert set(STATE_OF_DECISION) == set(Decision)
    assert set(STATE_OF_DECISION.values()) == {"accepted", "review", "refusal_proposed"}


@settings(max_examples=150, deadline=None)
@given(text=st.text(min_size=1, max_size=300))
def test_what_says_nothing_of_the_commune_is_not_accepted(text):
    """Accepting needs positive evidence, and each quote is the citizen's own words (law 5)."""
    contribution = Contribution("0", text)

    answer = REVIEWER.validate(contribution)

    assert answer.decision is not Decision.ACCEPT or answer.evidence
    for each in answer.evidence:
        assert each.quote == contribution.text[each.start : each.end]
