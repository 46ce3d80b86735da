"""Fill the page of an evaluation from the ledger, for a reader who may or may not read contributions."""

from collections.abc import Mapping
from typing import Any

from include.contributions.evaluation_report import (
    EvaluationReport,
    ListedEvaluation,
    MissedCategory,
    ShownMistake,
    bars_of,
)
from include.contributions.scoring import Score
from include.pages import Listing
from participation.ledger.connection import Connection
from participation.ledger.drift import LedgerDrift
from participation.ledger.evaluations import LedgerEvaluations, StoredEvaluation


def report_of(
    connection: Connection, stored: StoredEvaluation, *, may_read_contributions: bool
) -> EvaluationReport:
    """Fill the page; a citizen's words are read from the ledger, and only for who may read them."""
    details = stored.details or {}
    scores = Score.read_all(stored.scores.get("scores"))
    people = Score.read_all(details.get("by_origin", {}).get("person"))
    told = details.get("mistakes", [])
    words: Mapping[str, Mapping[str, Any]] = {}
    if may_read_contributions:
        words = LedgerEvaluations(connection, stored.municipality).citizens_words(
            [each["sample_id"] for each in told if each["origin"] == "person"],
            stored.rubric_version,
        )
    missed = details.get("missed_categories", [])
    return EvaluationReport(
        evaluation_id=stored.evaluation_id,
        municipality=stored.municipality,
        engine=stored.engine,
        rubric_version=stored.rubric_version,
        sample_count=stored.sample_count,
        passed=stored.passed,
        created_at=stored.created_at,
        scores=scores,
        agreement_by_kind=Score.read_all(stored.scores.get("agreement_by_kind")),
        top1_by_category=Score.read_all(stored.scores.get("top1_by_category")),
        top2_by_category=Score.read_all(details.get("top2_by_category")),
        leak_by_kind=Score.read_all(details.get("leak_by_kind")),
        people=people,
        origins=details.get("origins", {}),
        bars=bars_of(stored.bars, scores, people),
        failed_tasks=tuple(stored.bars.get("failed_tasks", ())),
        is_judged=bool(stored.bars) or stored.passed,
        reliability=tuple(
            (each["claimed"], Score(each["value"], each["n"], each["low"], each["high"]))
            for each in details.get("reliability", [])
        ),
        curve=tuple((point[0], point[1], point[2]) for point in details.get("curve", [])),
        mistakes=Listing(
            tuple(_mistake({**each, **words.get(each["sample_id"], {})}) for each in told),
            details.get("mistake_count", 0),
        ),
        missed_categories=Listing(
            tuple(
                MissedCategory(
                    each["sample_id"], tuple(each["expected"]), tuple(each["got"]), each["text"]
                )
                for each in missed
            ),
            details.get("missed_category_count", 0),
        ),
        weeks=LedgerDrift(connection, stored.municipality).weeks(stored.evaluation_id)
        if stored.details
        else (),
        cost_total=details.get("cost_total"),
        run=f"{stored.dag_id} {stored.run_id}" if stored.dag_id else "",
        is_short=stored.details is None,
    )


def listed(connection: Connection, municipality: str) -> list[ListedEvaluation]:
    """List the evaluations, the newest first."""
    return [
        ListedEvaluation(
            each.evaluation_id,
            each.created_at,
            each.engine,
            each.rubric_version,
            each.sample_count,
            each.passed,
            each.dag_id != "evaluate_reviewer",
            Score.read_all(each.scores.get("scores")),
        )
        for each in LedgerEvaluations(connection, municipality).newest()
    ]


def _mistake(told: Mapping[str, Any]) -> ShownMistake:
    return ShownMistake(
        sample_id=told["sample_id"],
        origin=told["origin"],
        kind=told["kind"],
        got=told["got"],
        expected=tuple(told["expected"]),
        confidence=told["confidence"],
        # What a program says of a citizen's text may repeat its words.
        error=told["error"] if told["origin"] == "project" or "text" in told else None,
        text=told.get("text"),
        reasoning=told.get("reasoning", ""),
        quotes=tuple(told.get("quotes", ())),
    )
