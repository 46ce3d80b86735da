"""Rows that a run or a person would have left, for the tests of the REST API."""

import json

from include.contributions.model import Record


def record(text, source="api", external_id=None):
    """One entry as the API hands it to the ledger."""
    return Record(source, external_id, text, "", None, None, "contributions[0]")


def judge_as(ledger, code, state, *, violations=(), category="logement", confidence=0.9):
    """Give a contribution a stored validation, a state and the log of its change, as settling does."""
    decision = {"accepted": "accept", "review": "review"}.get(state, "refusal_proposed")
    output = {
        "decision": decision,
        "reasoning": "Parce que.",
        "violations": [{"article": each} for each in violations],
    }
    rubric = f"r-{state}"
    with ledger.transaction():
        (contribution_id, before) = ledger.execute(
            "SELECT contribution_id, state FROM contribution JOIN receipt_code USING (contribution_id)"
            " WHERE code = %s FOR UPDATE OF contribution",
            (code,),
        ).fetchone()
        ledger.execute(
            "INSERT INTO step_result (item_id, step, input_hash, rubric_version, output, confidence,"
            " engine) SELECT contribution_id, 'validate', input_hash, %s, %s, %s, 'embedded'"
            " FROM contribution WHERE contribution_id = %s ON CONFLICT DO NOTHING",
            (rubric, json.dumps(output), confidence, contribution_id),
        )
        ledger.execute(
            "UPDATE contribution SET state = %s, state_rubric = %s, category = %s"
            " WHERE contribution_id = %s",
            (state, rubric, category, contribution_id),
        )
        ledger.execute(
            "INSERT INTO state_change (contribution_id, from_state, to_state, rubric_version,"
            " changed_by) VALUES (%s, %s, %s, %s, 'a run')",
            (contribution_id, before, state, rubric),
        )


def decide(ledger, code, outcome, statement=""):
    """Let a person decide."""
    ledger.execute(
        "INSERT INTO decision (contribution_id, outcome, decided_by, reason, statement)"
        " SELECT contribution_id, %s, 'Anne', 'off_topic', %s FROM receipt_code WHERE code = %s",
        (outcome, statement, code),
    )
