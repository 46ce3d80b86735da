"""The tasks of ``evaluate_reviewer``: collect samples, ask the engine, score, judge, publish.

Samples and answers are rows; what travels is which chunk. The engine's own answers are never samples,
and whatever it does not answer counts against it.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from include.contributions import evaluation_report
from include.contributions.answers import NOISE_LEVELS, Answer, Question, ask, questions
from include.contributions.groups import group_finder
from include.contributions.model_reviewer import ModelReviewer
from include.contributions.samples import ORIGINS, Sample, load_all
from include.contributions.scoring import Gate, Score, score_answers
from include.documents.labelled import fingerprint
from include.errors import (
    PermanentError,
    ReviewerBelowGateError,
    RubricChangedError,
    TransientError,
)
from include.ports import Reviewer
from participation import evaluation_pages, reviewing
from participation.ledger.drift import LedgerDrift
from participation.ledger.evaluations import LedgerEvaluations, StoredEvaluation
from participation.ledger.samples import LedgerSamples, Round
from participation.steps import Visit

EVALUATIONS_URL = "/participation/evaluations"

KEPT_AT_ONCE = 100
KEPT_AFTER_S = 1.0
"""Answers are stored a hundred at a time, or after a second: a slow engine's each as it comes."""

log = logging.getLogger(__name__)


@contextmanager
def reviewer_for(visit: Visit, rubric_version: str | None = None) -> Iterator[Reviewer]:
    """Open who judges the town's contributions now, or under a rubric where it is one of theirs."""
    with reviewing.reviewers_for(visit) as reviewers:
        yield reviewers.under(rubric_version or reviewing.current_rubric(visit))


def collect(visit: Visit, *, people: int, noise: bool, chunk_size: int) -> list[dict[str, int]]:
    """Fix the samples of this run, and cut them into chunks with their counts by origin.

    Args:
        visit: The ledger.
        people: At most so many texts on which a person's decision stands, the newest.
        noise: Ask about spoiled texts too; three more questions a sample.
        chunk_size: Samples per task instance.
    """
    samples = (*load_all(), *_samples(visit).of_people(people))
    with reviewer_for(visit) as reviewer:
        engine, rubric_version = reviewer.engine, reviewer.rubric_version
    _samples(visit).begin_round(
        engine=engine,
        rubric_version=rubric_version,
        samples_hash=fingerprint(load_all()),
        sample_ids=[sample.sample_id for sample in samples],
        noise_levels=NOISE_LEVELS if noise else (),
    )
    chunks = [
        {"chunk": chunk, "first": first, "last": min(first + chunk_size, len(samples))}
        for chunk, first in enumerate(range(0, len(samples), chunk_size))
    ]
    for each in chunks:
        counts = Counter(sample.origin for sample in samples[each["first"] : each["last"]])
        each.update({origin: counts[origin] for origin in ORIGINS})
    visit.item = rubric_version
    visit.input_size, visit.output_size = len(samples), len(chunks)
    log.info("%s samples: %s", len(samples), Counter(sample.origin for sample in samples))
    return chunks


def run_engine(visit: Visit, chunk: Mapping[str, int]) -> dict[str, Any]:
    """Ask about the samples of a chunk what was not answered yet under this rubric.

    An error that passes by itself is raised while another attempt follows; on the last one it is the
    answer, and counts as a failure.

    Raises:
        AirflowSkipException: Everything was answered before.
        RubricChangedError: The rules or the samples are no longer those of the run.
    """
    visit.item = visit.context["chunk"] = f"samples {chunk['first'] + 1} to {chunk['last']}"
    found = _round(visit)
    with reviewer_for(visit, found.rubric_version) as reviewer:
        if reviewer.rubric_version != found.rubric_version:
            raise RubricChangedError(
                f"this run asks {found.rubric_version}, and the engine is {reviewer.rubric_version} "
                "now: start a new run"
            )
        samples = _samples_of(visit, found)[chunk["first"] : chunk["last"]]
        known = _samples(visit).known(found.rubric_version, [each.sample_id for each in samples])
        waiting = [
            question
            for sample in samples
            for question in questions(sample, found.noise_levels)
            if question.key not in known
        ]
        visit.input_size = len(waiting)
        if not waiting:
            raise AirflowSkipException(
                f"nothing to do: {found.rubric_version} answered {visit.item} already"
            )
        stored, failed = _ask_and_keep(visit, found, waiting, reviewer)
    visit.output_size = stored
    return {"chunk": chunk["chunk"], "asked": len(waiting), "stored": stored, "failed": failed}


def _ask_and_keep(
    visit: Visit, found: Round, waiting: Sequence[Question], reviewer: Reviewer
) -> tuple[int, int]:
    """Ask one question after the other; what was answered is kept whatever comes next."""
    store = _samples(visit)
    stored = failed = 0
    batch: list[Answer] = []
    kept_at = time.monotonic()
    asked: Iterable[Question] = waiting
    if isinstance(reviewer, ModelReviewer):
        asked = reviewer.ahead(waiting, lambda question: question.contribution)
    try:
        for question in asked:
            answer = ask(question, reviewer, may_pass=not visit.is_last_attempt)
            failed += answer.error is not None
            batch.append(answer)
            if len(batch) >= KEPT_AT_ONCE or time.monotonic() - kept_at > KEPT_AFTER_S:
                stored += store.add_answers(batch, found.engine, found.rubric_version)
                batch, kept_at = [], time.monotonic()
    finally:
        stored += store.add_answers(batch, found.engine, found.rubric_version)
    return stored, failed


def score(visit: Visit) -> dict[str, Any]:
    """Compare the answers with what is known, and store the scores; not judged yet.

    Raises:
        PermanentError: The samples of this run were never fixed.
    """
    found = _round(visit)
    samples = _samples_of(visit, found)
    town = visit.settings.municipality
    given = _samples(visit).answers(found.rubric_version, found.sample_ids)
    card = score_answers(
        samples,
        given,
        found.engine,
        found.rubric_version,
        noise_levels=found.noise_levels,
        names_group=group_finder(town),
    )
    overruled = LedgerDrift(visit.connection, town).overruled()
    scores = card.as_dict()
    scores["scores"] |= {name: each.as_dict() for name, each in overruled.items()}
    evaluation_id = _evaluations(visit).save(
        visit.attempt,
        engine=card.engine,
        rubric_version=card.rubric_version,
        sample_count=card.sample_count,
        scores=scores,
        details={
            **card.details(),
            **evaluation_report.mistakes_of(card, samples, given),
            **evaluation_report.missed_categories_of(samples, given),
            "samples_hash": found.samples_hash,
        },
    )
    visit.item = f"evaluation {evaluation_id}"
    visit.input_size = visit.output_size = card.sample_count
    return {
        "evaluation_id": evaluation_id,
        "sample_count": card.sample_count,
        "origins": dict(card.origins),
        "failed": scores["scores"]["failed"],
        "mistakes": len(card.mistakes),
    }


def judge(visit: Visit, gate: Gate) -> dict[str, Any]:
    """Hold the scores to the bars, note what was missed, and fail when anything was.

    Raises:
        ReviewerBelowGateError: Every figure that misses its bar, and every task that failed.
    """
    stored = _stored(visit)
    scores = Score.read_all(stored.scores["scores"])
    people = Score.read_all((stored.details or {}).get("by_origin", {}).get("person"))
    failed = visit.failed_tasks()
    others = [f"tasks of this run failed: {', '.join(failed)}"] if failed else []
    reasons = [*gate.reasons(scores), *gate.people_reasons(people), *others]
    bars = {
        "scores": {name: list(bar) for name, bar in gate.bars().items()},
        "min_people": gate.min_people,
        "failed_tasks": failed,
    }
    _evaluations(visit).judge(stored.evaluation_id, bars, reasons)
    visit.item = f"evaluation {stored.evaluation_id}"
    visit.input_size, visit.output_size = len(gate.bars()), len(reasons)
    if reasons:
        raise ReviewerBelowGateError(
            f"{stored.engine} {stored.rubric_version} is below the gate: {'; '.join(reasons)}. See "
            f"{EVALUATIONS_URL}/{stored.evaluation_id}"
        )
    return {"evaluation_id": stored.evaluation_id, "bars": len(gate.bars()), "passed": True}


def publish_page(visit: Visit) -> tuple[int, dict[str, Any]]:
    """Write the page of this run's evaluation, passed or not; citizens' words stay in the ledger.

    Raises:
        AirflowSkipException: This run has scored nothing.
    """
    stored = _evaluations(visit).of_run(visit.attempt.dag_id, visit.attempt.run_id)
    if stored is None:
        raise AirflowSkipException("nothing to show: this run has scored nothing, see score")
    report = evaluation_pages.report_of(visit.connection, stored, may_read_contributions=False)
    path = evaluation_report.write(report, visit.settings.reports / "evaluations")
    _evaluations(visit).note_page(stored.evaluation_id, str(path))
    visit.item = f"evaluation {stored.evaluation_id}"
    visit.input_size, visit.output_size = report.sample_count, report.mistakes.total
    url = f"{EVALUATIONS_URL}/{stored.evaluation_id}"
    log.info("evaluation %s: passed %s, at %s", stored.evaluation_id, stored.passed, path)
    return stored.evaluation_id, {
        "evaluation_id": stored.evaluation_id,
        "passed": stored.passed,
        "url": url,
        "mistakes": report.mistakes.total,
    }


def read_round(visit: Visit) -> tuple[StoredEvaluation, Sequence[Sample], Sequence[Answer]]:
    """Read this run's evaluation with its samples and answers, for whoever sends them on."""
    found = _round(visit)
    samples = _samples_of(visit, found)
    return _stored(visit), samples, _samples(visit).answers(found.rubric_version, found.sample_ids)


def _samples_of(visit: Visit, found: Round) -> list[Sample]:
    """Find the samples that a run was begun with, in its order."""
    own = load_all()
    if fingerprint(own) != found.samples_hash:
        raise RubricChangedError(
            "the project's labelled samples are no longer those of this run: start a new run"
        )
    by_id = {sample.sample_id: sample for sample in own}
    by_id |= {
        sample.sample_id: sample for sample in _samples(visit).of_people_by_id(found.sample_ids)
    }
    if missing := [each for each in found.sample_ids if each not in by_id]:
        raise TransientError(f"samples of this run are not in the ledger: {missing[:5]}")
    return [by_id[sample_id] for sample_id in found.sample_ids]


def _round(visit: Visit) -> Round:
    found = _samples(visit).round()
    if found is None:
        raise PermanentError("the samples of this run were never fixed: see collect")
    return found


def _stored(visit: Visit) -> StoredEvaluation:
    stored = _evaluations(visit).of_run(visit.attempt.dag_id, visit.attempt.run_id)
    if stored is None:
        raise PermanentError("this run has scored nothing: see score")
    return stored


def _samples(visit: Visit) -> LedgerSamples:
    return LedgerSamples(visit.connection, visit.settings.municipality, visit.attempt)


def _evaluations(visit: Visit) -> LedgerEvaluations:
    return LedgerEvaluations(visit.connection, visit.settings.municipality)
