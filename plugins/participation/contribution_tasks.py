"""The tasks of the contribution workflow, shared by the DAGs that run them.

``load_contributions`` and ``contribution_analysis`` run them as events call, ``daily_chain`` in one
row for one day. Whoever claims a contribution first judges it; the other finds nothing to do and says
so. A function here opens nothing: it is given the open ledger as a :class:`Visit`, lets the domain and
the ledger do the work, notes how much there was, and returns what travels on: ids and counts, or the
whole result of a single text.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

from airflow.sdk import task_group
from airflow.sdk.exceptions import AirflowSkipException

from include.contributions import loading, scoring
from include.contributions.analysis import ChunkCounts, judge_chunk
from include.contributions.model import MAX_TEXT_CHARACTERS, Contribution
from include.contributions.processors import contribution_workflow
from include.contributions.sources.boundary import cleaned
from include.dockets import fits
from include.errors import (
    ConfigurationError,
    EmptySourceError,
    ReconciliationError,
    ReviewerBelowGateError,
)
from participation import measures, reviewing
from participation.defaults import ANALYSED, CONTRIBUTIONS
from participation.ledger import books, metrics, outbox, traces
from participation.ledger.claims import Selection
from participation.ledger.evaluations import LedgerEvaluations, save_evaluation
from participation.ledger.loading import LedgerLoading
from participation.settings import Settings
from participation.steps import Visit, step_task

SINGLE_SOURCE = "rest"
"""Source of a text that came in a run's conf instead of a file; the run's DAG is its locator."""

MAX_BOOKS = 30
"""Days whose books travel in a docket, the earliest ones; the totals are those of all days."""

log = logging.getLogger(__name__)


def load_inbox(visit: Visit, folder: str | None = None) -> dict[str, Any]:
    """Load the inbox, or a folder inside it, and balance what was read against what was stored.

    Raises:
        AirflowSkipException: The inbox holds no file yet.
        UnreadableSourceError: The path is wrong, or no file in it can be read.
    """
    root = visit.settings.inside_inbox(folder)
    store = LedgerLoading(visit.connection, visit.settings.municipality, visit.attempt.run_id)
    try:
        outcome = loading.load_folder(root, store)
    except EmptySourceError as empty:
        raise AirflowSkipException(str(empty)) from empty
    visit.item = f"load {outcome.load_id}"
    visit.input_size = outcome.records + outcome.broken
    visit.output_size = outcome.added
    for sentence in outcome.waiting:
        log.warning("waiting: %s", sentence)
    for sentence in outcome.notices:
        log.info("left alone: %s", sentence)
    return {
        "load_id": outcome.load_id,
        "files": outcome.files,
        "unchanged": outcome.unchanged,
        "records": outcome.records,
        "broken": outcome.broken,
        "added": outcome.added,
        "day_count": len(outcome.days),
        "days": [str(day) for day in outcome.days[:100]],
        "waiting": [sentence[:200] for sentence in outcome.waiting[:10]],
    }


def announce_days(visit: Visit, emitter: str | None, outlet_events: Any) -> dict[str, Any]:
    """Add one partition to the asset ``contributions`` for each day that has new rows."""
    found = outbox.waiting_days(visit.connection, visit.settings.municipality, emitter)
    visit.item = f"{len(found.days)} days"
    visit.input_size = found.row_count
    visit.output_size = len(found.days)
    if not found.days:
        raise AirflowSkipException("no day has new contributions: nothing to announce")
    outlet_events[CONTRIBUTIONS].add_partitions(list(found.days))
    log.info("announcing %s new contributions of %s", found.contribution_count, found.days)
    return {
        "day_count": len(found.days),
        "days": list(found.days[:400]),
        "contribution_count": found.contribution_count,
        "emitter": emitter,
        "snapshot": found.snapshot,
    }


def confirm_announced(visit: Visit, announced: dict[str, Any]) -> dict[str, Any]:
    """Mark the outbox rows as announced, now that their asset events are recorded."""
    marked = outbox.mark_announced(
        visit.connection,
        visit.settings.municipality,
        announced["emitter"],
        announced["snapshot"],
    )
    visit.output_size = marked
    return {"confirmed": marked}


def split_work(
    visit: Visit,
    day: date | None,
    ids: list[str] | None = None,
    text: str | None = None,
    chunk_size: int = 2000,
) -> list[int]:
    """Claim what lacks a judgement under the current rubric and cut it into chunks.

    Raises:
        ConfigurationError: Not exactly one of day, ids and text was given, or an id is unknown.
        AirflowSkipException: There is nothing to do, with the reason.
    """
    selection = _selection(visit, day, ids, text)
    rubric, *standing = reviewing.rubrics_now(visit)
    selection = replace(selection, standing=tuple(standing))
    visit.works_on(day)
    chunks = visit.analysis.split(selection, rubric, chunk_size)
    visit.input_size = sum(chunk["item_count"] for chunk in chunks)
    visit.output_size = len(chunks)
    if not chunks:
        held = visit.analysis.open_elsewhere(selection, rubric)
        raise AirflowSkipException(
            f"nothing to do: other runs hold the open work {held}"
            if held
            else f"nothing to do: everything selected is judged under {rubric} or decided"
        )
    return [chunk["chunk_id"] for chunk in chunks]


def _selection(
    visit: Visit, day: date | None, ids: list[str] | None, text: str | None
) -> Selection:
    asked = {"day": day, "ids": ids, "text": text}
    given = [name for name, value in asked.items() if value is not None and value != []]
    if len(given) != 1:
        met = {2: "two were given", 3: "three were given"}.get(len(given), "none was given")
        raise ConfigurationError(
            "say what to judge: give a partition key (a day), or fill in one of day, ids and text; "
            f"{': '.join([met, ', '.join(given)]) if given else met}"
        )
    if text is not None:
        storable, _ = cleaned(text)
        if not storable.strip():
            raise ConfigurationError("the text is empty: give the citizen's words")
        if len(storable) > MAX_TEXT_CHARACTERS:
            raise ConfigurationError(
                f"the text has {len(storable)} characters, at most {MAX_TEXT_CHARACTERS}: shorten it"
            )
        store = LedgerLoading(visit.connection, visit.settings.municipality)
        written = Contribution(f"{SINGLE_SOURCE}:{visit.attempt.run_id}", storable)
        return Selection(ids=(store.submit(written, visit.attempt.dag_id),))
    if ids:
        if unknown := visit.analysis.unknown(ids):
            raise ConfigurationError(f"no such contributions: {unknown[:10]}; nothing was judged")
        return Selection(ids=tuple(ids))
    return Selection(day=day)


def judge(visit: Visit, chunk_id: int, step: str) -> dict[str, Any]:
    """Run one step over one chunk; a retry goes on after the last batch that was stored.

    Raises:
        AirflowSkipException: The chunk is settled, as when a task of a green run is cleared.
    """
    visit.item = f"chunk {chunk_id}"
    visit.works_on(visit.analysis.day_of_chunk(chunk_id))
    visit.context["chunk"] = visit.item
    visit.goes_on_with(traces.of_chunk, chunk_id)
    if visit.analysis.is_settled(chunk_id):
        raise AirflowSkipException(f"{visit.item} is settled already: nothing is left to do")
    with reviewing.reviewers_for(visit) as reviewers:
        counts = _judge_under(
            visit, chunk_id, step, reviewers, visit.analysis.rubric_of_chunk(chunk_id)
        )
        for other_id, rubric in visit.analysis.chunks_split_from(chunk_id):
            alone = _judge_under(visit, other_id, step, reviewers, rubric)
            counts.taken += alone.taken
            counts.stored += alone.stored
            counts.set_aside += alone.set_aside
    visit.input_size, visit.output_size = counts.taken, counts.stored
    told = {"by_rules_alone": counts.split_off} if counts.split_off else {}
    return {
        "chunk_id": chunk_id,
        "step": step,
        "taken": counts.taken,
        "stored": counts.stored,
        "set_aside": counts.set_aside,
        **told,
    }


def _judge_under(
    visit: Visit, chunk_id: int, step: str, reviewers: reviewing.Reviewers, rubric: str | None
) -> ChunkCounts:
    """Run one step over one chunk with the reviewer of its rubric."""
    reviewer = reviewers.under(rubric or "")
    steps = {each.name: each for each in contribution_workflow(reviewer).steps}
    return judge_chunk(
        chunk_id,
        reviewers.once(steps[step]),
        visit.analysis,
        reviewer.rubric_version,
        _progress(chunk_id, step),
        last_attempt=visit.is_last_attempt,
        after_death=visit.follows_death,
        pace=reviewers.pace(reviewer, step),
    )


def settle_states(visit: Visit, outlet_events: Any) -> dict[str, Any]:
    """Give each judged contribution its state, and announce the days on the asset ``analysed``.

    An attempt that was lost after its last write is repeated: it settles nothing and announces.

    Raises:
        ReconciliationError: Chunks of this run lack results; what is whole was settled. Red as well,
            so that a clear of what failed settles again, and reconciles only after that.
        AirflowSkipException: This run judged nothing.
    """
    visit.works_on(next(iter(visit.analysis.days_of_run()), None))
    visit.goes_on_with(traces.of_run, visit.attempt)
    states = visit.analysis.settle(f"{visit.attempt.dag_id}/{visit.attempt.run_id}")
    visit.output_size = sum(states.values())
    for state, number in states.items():
        measures.count("settled", number, state=state)
    if left := visit.analysis.unsettled():
        raise ReconciliationError(
            f"{visit.output_size} settled, but chunks lack results (id, contributions): {left}"
        )
    days = [day.isoformat() for day in visit.analysis.settled_days()]
    if not days:
        raise AirflowSkipException("nothing to settle: this run judged nothing")
    outlet_events[ANALYSED].add_partitions(days)
    return {
        "settled": sum(states.values()),
        "states": states,
        "day_count": len(days),
        "days": days[:100],
    }


def reconcile_run(visit: Visit, day: date | None) -> dict[str, Any]:
    """Balance the books (law 2), give back what was not settled, and fail when anything is off.

    The last task of a run, whatever happened before it: it also turns the run red when a task failed
    and the tasks after it were allowed to go on.

    Raises:
        ReconciliationError: A task failed, contributions of this run lack results, or a sum is off.
    """
    visit.works_on(day)
    metrics.close_lost(
        visit.connection, visit.attempt.dag_id, visit.attempt.run_id, keep=visit.attempt
    )
    left = visit.analysis.unsettled()
    visit.analysis.release()
    days = [day] if day else visit.analysis.days_of_run()
    balanced = {
        str(each): books.reconcile(visit.connection, visit.settings.municipality, each)
        for each in days
    }
    totals = Counter[str]()
    for counts in balanced.values():
        totals.update(counts)
    visit.output_size = totals["submitted"]
    failed = visit.failed_tasks()
    has_chunks = visit.analysis.has_chunks()
    if not balanced and has_chunks:
        raise ReconciliationError("this run judged contributions, but no day's books were balanced")
    if "split" in failed and "load" not in failed and not has_chunks:
        raise ReconciliationError(
            "nothing was claimed: see split; mend the conf and start a new run, or clear split "
            "when the conf was right"
        )
    if left or failed:
        chunks = f", chunks without all results {left} (id, contributions)" if left else ""
        raise ReconciliationError(
            f"books balance, but work is missing: failed tasks {failed or 'none'}{chunks}. What was "
            "claimed was given back: clear the failed tasks, or let the next run of the day take it"
        )
    return {
        "day_count": len(balanced),
        "totals": dict(totals),
        "books": dict(list(balanced.items())[:MAX_BOOKS]),
    }


def report_single(visit: Visit, text: str | None, ids: list[str] | None) -> dict[str, Any] | None:
    """Return the whole step results of a run over one contribution; None for other runs."""
    if text:
        store = LedgerLoading(visit.connection, visit.settings.municipality)
        contribution_id = store.submitted(visit.attempt.run_id, visit.attempt.dag_id)
    elif ids and len(ids) == 1:
        contribution_id = ids[0]
    else:
        return None
    if contribution_id is None:
        return None
    return {"contribution_id": contribution_id, **visit.analysis.whole_result(contribution_id)}


def with_single(books: dict[str, Any], single: dict[str, Any] | None) -> dict[str, Any]:
    """Add a single contribution's whole result to the books, or say that it does not fit."""
    if single is None:
        return books
    whole = {**books, "result": single}
    if fits(whole):
        return whole
    return {**books, "result": {"contribution_id": single["contribution_id"], "too_large": True}}


def score_engine(visit: Visit, day: date | None) -> dict[str, Any]:
    """Score the reviewer on the labelled sample; below the gate the run stops here.

    Raises:
        ReviewerBelowGateError: The scores and the thresholds they miss.
    """
    card = reviewing.scorecard(visit, scoring.load_samples())
    gate = scoring.Gate()
    verdict = gate.verdict(card)
    visit.works_on(day)
    visit.item = card.rubric_version
    visit.input_size = visit.output_size = card.sample_count
    evaluation_id = save_evaluation(
        visit.connection,
        visit.settings.municipality,
        visit.attempt,
        engine=card.engine,
        rubric_version=card.rubric_version,
        sample_count=card.sample_count,
        scores=card.as_dict(),
        passed=verdict.passed,
        day=day,
    )
    bars = {"scores": {name: list(bar) for name, bar in gate.bars().items()}}
    evaluations = LedgerEvaluations(visit.connection, visit.settings.municipality)
    evaluations.judge(evaluation_id, bars, verdict.reasons)
    if not verdict.passed:
        raise ReviewerBelowGateError(
            f"{card.engine} {card.rubric_version} is below the gate: {'; '.join(verdict.reasons)}"
        )
    return {"sample_count": card.sample_count, "rubric_version": card.rubric_version}


def judge_chunks(chunk_ids: Any, **task_arguments: Any) -> Any:
    """Build the mapped task group ``judge``: validate, classify and evaluate, chunk by chunk."""
    pool = Settings().llm_pool

    @task_group(
        tooltip="One instance per chunk of contributions; a retry repeats only its own chunk."
    )
    def judge_chunk_group(chunk_id: int) -> None:
        @step_task(map_index_template="{{ chunk }}", pool=pool, **task_arguments)
        def validate(chunk_id: int, *, visit: Visit) -> dict[str, Any]:
            """Hold each contribution of the chunk against the charter (agent Forseti).

            By the rules, and by a language model beside them where one is connected. Writes one
            `step_result` per contribution: accept, review or refusal_proposed, with the quoted words
            it rests on. Safe to repeat: what is stored is not judged again.
            """
            return judge(visit, chunk_id, "validate")

        @step_task(map_index_template="{{ chunk }}", **task_arguments)
        def classify(chunk_id: int, *, visit: Visit) -> dict[str, Any]:
            """Name the subject of each contribution: one of seven categories, or undetermined.

            The citizen's own category stands unless the evidence is strong.
            """
            return judge(visit, chunk_id, "classify")

        @step_task(map_index_template="{{ chunk }}", **task_arguments)
        def evaluate(chunk_id: int, *, visit: Visit) -> dict[str, Any]:
            """Say how far the two answers can be relied on, for each contribution."""
            return judge(visit, chunk_id, "evaluate")

        validated = validate(chunk_id)
        classified = classify(chunk_id)
        validated >> classified >> evaluate(chunk_id)

    return judge_chunk_group.override(group_id="judge").expand(chunk_id=chunk_ids)


def _progress(chunk_id: int, step: str) -> Callable[[ChunkCounts], None]:
    def say(counts: ChunkCounts) -> None:
        log.info(
            "%s chunk %s: %s done, %s set aside", step, chunk_id, counts.taken, counts.set_aside
        )

    return say
