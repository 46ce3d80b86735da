"""One trace from a request to the stored decision; figures and ids in it, and nobody's words."""

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from include.errors import PermanentError, ProcessingError
from participation import contribution_tasks, steps, tracing
from participation.ledger import traces
from tests.integration.review_steps import add_case
from tests.plugins.test_api_contributions import BENCH, submit
from tests.plugins.test_review_tasks import Run
from tests.unit.review.questions import form

pytestmark = pytest.mark.postgres

PARTNER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECRET = "les mots de la citoyenne"


class Events:
    """Takes the partitions that a task announces."""

    def __getitem__(self, asset):
        return self

    def add_partitions(self, days):
        self.days = days


@pytest.fixture
def spans(monkeypatch):
    """Record every span of this process, as Airflow's provider would."""
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("participation"))
    yield lambda name: [each for each in kept.get_finished_spans() if each.name == name]
    provider.shutdown()


def told(span):
    return {
        name.removeprefix("participation."): value
        for name, value in span.attributes.items()
        if name.startswith("participation.")
    }


@pytest.fixture
def analysed(instance, ledger):
    """Run the analysis of everything, its tasks one after another."""

    def run(task_id, function, *arguments):
        instance.task_id = task_id
        with steps.visit(task_id) as here:
            return function(here, *arguments)

    def analysed():
        ids = [row[0] for row in ledger.execute("SELECT contribution_id FROM contribution")]
        for chunk in run("split", contribution_tasks.split_work, None, ids):
            for step in ("validate", "classify", "evaluate"):
                run(step, contribution_tasks.judge, chunk, step)
        run("settle", contribution_tasks.settle_states, Events())

    return analysed


def test_one_trace_from_the_request_to_the_stored_state(caller, ledger, analysed, spans):
    """Submitted by one request, judged by a later run: each step that judges it stands in its trace."""
    answer = caller("user").post(
        "/contributions", json={"text": BENCH}, headers={"traceparent": PARTNER}
    )
    assert answer.status_code == 201
    (request,) = spans("POST /participation/api/v1/contributions")

    analysed()

    assert request.context.trace_id == int(PARTNER.split("-")[1], 16)
    assert request.parent.span_id == int(PARTNER.split("-")[2], 16)
    for step in ("validate", "classify", "evaluate", "settle"):
        own, beside = sorted(
            spans(f"workflow_{step}"),
            key=lambda each: each.context.trace_id == request.context.trace_id,
        )
        assert beside.context.trace_id == request.context.trace_id
        assert beside.parent.span_id == request.context.span_id
        assert [link.context.span_id for link in beside.links] == [own.context.span_id]
        assert told(beside) | {"duration_ms": 0} == {
            "step_name": step,
            "status": "success",
            "duration_ms": 0,
            "output_size": 1,
            "contributions": 1,
        } | ({} if step == "settle" else {"input_size": 1})
        assert beside.attributes["airflow.dag_run.run_id"] == "run-1"
        assert beside.start_time < beside.end_time
    assert ledger.execute("SELECT count(*) FROM state_change").fetchone() == (1,)


def test_a_persons_decision_stands_in_the_trace_of_what_it_decides(instance, ledger, spans):
    """The step that puts an answer on record; the words of the answer are in none of its spans."""
    contribution_id = add_case(ledger, 1)
    ledger.execute(
        "UPDATE contribution SET metadata = jsonb_build_object('traceparent', %s::text)"
        " WHERE contribution_id = %s",
        (PARTNER, contribution_id),
    )
    asking = Run(instance, ledger)
    taken = asking.take(asking.question(), form("Refuser", reason="spam_ou_publicite", note=SECRET))

    asking.record(taken)

    (beside,) = [each for each in spans("workflow_record") if each.links]
    assert beside.context.trace_id == int(PARTNER.split("-")[1], 16)
    assert beside.parent.span_id == int(PARTNER.split("-")[2], 16)
    assert asking.decisions() == [("refused", "Bruno")]
    assert SECRET not in beside.to_json()


def test_many_submissions_have_a_span_each_up_to_a_limit(
    caller, ledger, analysed, spans, monkeypatch
):
    """A step of two thousand texts makes no flood; the span of the run says that some are left out."""
    monkeypatch.setattr(tracing, "MAX_SUBMISSIONS", 2)
    sender = caller("user")
    for number in range(3):
        submit(
            sender, f"Le banc numéro {number} du quai est cassé.", f"La lampe {number} est cassée."
        )

    analysed()

    found = spans("workflow_validate")
    assert len(found) == 1 + 2
    (own,) = [each for each in found if not each.links]
    assert own.attributes["participation.submissions_left_out"] is True
    assert {each.attributes["participation.contributions"] for each in found if each.links} == {2}


def test_the_words_of_an_error_stay_in_the_house(instance, ledger, spans):
    """A span says which kind of error ended a step; a citizen may be quoted in its message."""

    def fail():
        with steps.visit("validate") as here:
            here.input_size = 3
            raise PermanentError(SECRET) from ValueError(SECRET)

    with pytest.raises(ProcessingError, match="citoyenne"):
        fail()

    (span,) = spans("workflow_validate")
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "ValueError"
    assert (told(span)["status"], told(span)["input_size"]) == ("failed", 3)
    assert SECRET not in span.to_json()
    assert span.events == ()


def test_a_request_is_named_by_its_route(caller, spans):
    """A receipt is a secret that opens a contribution's standing: it is in no name and no attribute."""
    caller("viewer").get("/contributions/7K2M-9QX4-TVB0", headers={"x-request-id": "mine"})

    (span,) = spans("GET /participation/api/v1/contributions/{receipt}")
    assert "7K2M" not in span.to_json()
    assert span.attributes["participation.request_id"] == "mine"
    assert span.attributes["http.response.status_code"] in {404, 422}


def test_a_judgement_while_the_caller_waits_has_a_span_for_each_step(caller, spans):
    """The three processors, below the request."""
    answer = caller("user").post("/validate", json={"text": BENCH})

    assert answer.status_code == 200
    (request,) = spans("POST /participation/api/v1/validate")
    for step in ("validate", "classify", "evaluate"):
        (span,) = spans(f"workflow_{step}")
        assert span.parent.span_id == request.context.span_id
        assert (told(span)["status"], told(span)["input_size"]) == ("success", 1)


def test_a_workflow_goes_on_in_the_trace_of_its_request(caller, spans):
    """Airflow's spans of the run and of its tasks, and ours below them, are one trace with the request."""
    from airflow.models import DagRun, TaskInstance  # noqa: PLC0415 - needs the database
    from airflow.utils.session import create_session  # noqa: PLC0415 - the same

    answer = caller("user").post(
        "/workflows",
        json={"workflow": "contribution_analysis", "input": {"text": BENCH}, "key": "traced"},
    )

    assert answer.status_code == 202
    (request,) = spans("POST /participation/api/v1/workflows")
    run_id = answer.json()["workflow_id"].split(".", 1)[1]
    with create_session() as session:
        run = session.query(DagRun).filter_by(run_id=run_id).one()
        instances = session.query(TaskInstance).filter_by(run_id=run_id).all()
        carriers = [run.context_carrier, *(each.context_carrier for each in instances)]
    placed = [
        trace.get_current_span(TraceContextTextMapPropagator().extract(each)).get_span_context()
        for each in carriers
    ]
    assert len(placed) > 3
    assert {each.trace_id for each in placed} == {request.context.trace_id}
    assert len({each.span_id for each in placed} | {request.context.span_id}) == len(placed) + 1


def test_without_tracing_nothing_is_kept_and_nothing_asked(caller, ledger, analysed, monkeypatch):
    """No exporter configured: no trace at a contribution, and no question to the ledger about it."""

    def unasked(*_):
        raise AssertionError("asked")

    for name in ("of_chunk", "of_run", "of_question"):
        monkeypatch.setattr(traces, name, unasked)
    answer = caller("user").post(
        "/contributions", json={"text": BENCH}, headers={"traceparent": PARTNER}
    )

    assert answer.status_code == 201
    analysed()
    assert ledger.execute("SELECT metadata ? 'traceparent' FROM contribution").fetchall() == [
        (False,)
    ]


def test_a_broken_exporter_ends_no_step(instance, ledger, metrics_of, monkeypatch):
    """Whoever watches the work must not end it."""

    def broken(*_):
        raise RuntimeError("the exporter is broken")

    monkeypatch.setattr(tracing.StepSpan, "_end_as", broken)
    monkeypatch.setattr(tracing.StepSpan, "is_recorded", True)

    with steps.visit("validate") as here:
        here.goes_on_with(lambda _: [(PARTNER, 1)])

    assert metrics_of(ledger) == [("validate", "success", None)]
