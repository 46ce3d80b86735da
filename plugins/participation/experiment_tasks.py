"""Send an evaluation to Opik as an experiment, where the connection ``participation_opik`` names one.

Nobody waits for it: whatever goes wrong is a warning in the docket and in ``evaluation_publication``, and
the next attempt goes on where this one stopped. The samples that people made are kept back: their words
are citizens'.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from include.contributions.answers import PLAIN, UNAIDED, Answer
from include.contributions.evaluation import output_format
from include.contributions.samples import Sample
from include.documents import opik
from include.errors import PermanentError, TransientError, cause_chain
from participation import evaluation_tasks
from participation.ledger.evaluations import LedgerEvaluations, StoredEvaluation
from participation.publish_tasks import opik_site, warned
from participation.steps import Visit

BUDGET_S = 300.0
"""For the samples and their results; a cleared task sends what is left."""

BATCH_RESULTS = 200
"""A request holds at most four megabytes."""

SAMPLES_MADE = datetime(2026, 1, 1, tzinfo=UTC)
"""Part of the samples' ids, which must be the same for every evaluation: no run's own time."""


def publish(visit: Visit) -> dict[str, Any]:
    """Send this run's evaluation.

    Raises:
        AirflowSkipException: No connection, or it is whole there.
    """
    told: dict[str, Any] = {"sent": 0, "kept_back": 0, "warnings": []}
    try:
        site = opik_site()
    except PermanentError as error:
        return warned(told, str(error))
    stored, samples, given = evaluation_tasks.read_round(visit)
    evaluations = LedgerEvaluations(visit.connection, visit.settings.municipality)
    publication = evaluations.begin_publication(stored.evaluation_id, site.name)
    if publication is None:
        raise AirflowSkipException(
            f"nothing to do: evaluation {stored.evaluation_id} is at {site.name}"
        )
    visit.item = f"evaluation {stored.evaluation_id}"
    own = [sample for sample in samples if sample.origin == "project"]
    told["kept_back"] = len(samples) - len(own)
    visit.input_size = len(own)
    dataset, experiment = _names(stored)
    sent = publication.sent_count
    try:
        if sent == 0:
            _begin(site, dataset, experiment, stored, own)
        results = islice(_results(own, given), sent, None)
        deadline = time.monotonic() + BUDGET_S
        while batch := list(islice(results, BATCH_RESULTS)):
            _check_time(deadline)
            site.send_results(experiment, dataset, batch)
            sent += len(batch)
            told["sent"] += len(batch)
            evaluations.note_publication(stored.evaluation_id, site.name, sent=sent)
        evaluations.note_publication(stored.evaluation_id, site.name, sent=sent, whole=True)
    except (TransientError, PermanentError) as error:
        warning = cause_chain(error)[:500]
        evaluations.note_publication(stored.evaluation_id, site.name, sent=sent, warning=warning)
        warned(told, f"{visit.item} is not whole there: {warning}")
    visit.output_size = told["sent"]
    return told


def _check_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise TransientError(f"{BUDGET_S:.0f} s are over; clear the task to send the rest")


def _names(stored: StoredEvaluation) -> tuple[opik.Version, opik.Version]:
    samples_hash = str((stored.details or {})["samples_hash"])
    town = stored.municipality
    dataset = opik.Version(f"{town}-samples-{samples_hash}", samples_hash, SAMPLES_MADE)
    name = f"{town}-evaluation-{stored.evaluation_id}-{stored.rubric_version}"
    return dataset, opik.Version(name, samples_hash, stored.created_at)


def _begin(
    site: opik.OpikSite,
    dataset: opik.Version,
    experiment: opik.Version,
    stored: StoredEvaluation,
    own: list[Sample],
) -> None:
    site.create(dataset, f"The project's labelled samples, {dataset.content_hash}")
    for batch in opik.batches(
        opik.Item(position, _described(sample)) for position, sample in enumerate(own)
    ):
        site.send(dataset, batch)
    scores = stored.scores["scores"]
    metadata = {
        "engine": stored.engine,
        "rubric_version": stored.rubric_version,
        "scores": {name: score["value"] for name, score in scores.items()},
        "n": {name: score["n"] for name, score in scores.items()},
    }
    site.begin_experiment(experiment, dataset, metadata)


def _described(sample: Sample) -> dict[str, Any]:
    return {
        "text": sample.contribution.text,
        "declared_category": sample.declared_category,
        "expected_decisions": sorted(sample.expected_decisions),
        "expected_categories": sorted(sample.expected_categories),
        "kind": sample.kind,
        "provenance": sample.provenance,
    }


def _results(own: list[Sample], given: Any) -> Iterator[opik.Result]:
    by_key: dict[tuple[str, str], Answer] = {(each.sample_id, each.variant): each for each in given}
    for position, sample in enumerate(own):
        plain = by_key.get((sample.sample_id, PLAIN))
        unaided = by_key.get((sample.sample_id, UNAIDED))
        validation = plain.validation if plain else None
        scores = {
            "outcome": float(
                validation is not None and validation.decision in sample.expected_decisions
            ),
            "output_format": output_format(validation.model_dump(mode="json"))
            if validation
            else 0.0,
        }
        if sample.expected_categories:
            found = unaided.classification if unaided else None
            scores["category"] = float(
                found is not None and found.category in sample.expected_categories
            )
        yield opik.Result(
            position,
            {"text": sample.contribution.text},
            plain.output if plain and not plain.error else {"error": "no answer"},
            scores,
            (plain.took_ms or 0.0) if plain else 0.0,
        )
