import asyncio
import time
from dataclasses import FrozenInstanceError

import pytest
import stamina

from include.errors import ConfigurationError, PermanentError, ProcessingError, TransientError
from include.processing.model import (
    ErrorStrategy,
    FunctionProcessor,
    ProcessingContext,
    Step,
    WorkflowMetrics,
)
from include.processing.workflow import RetryBudget, Workflow, run_step_over_items

STOP, CONTINUE, RETRY = ErrorStrategy.STOP, ErrorStrategy.CONTINUE, ErrorStrategy.RETRY


class Flaky:
    """Fails as often as it was told to, then gives the number of the call."""

    def __init__(self, *errors: BaseException, name="flaky") -> None:
        self.name = name
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, _context):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.calls


class AskedToWaitError(TransientError):
    """A provider that named its price."""

    def __init__(self, retry_after_s) -> None:
        super().__init__("slow down")
        self.retry_after_s = retry_after_s


def double(context):
    """Twice the input."""
    return context.input_data * 2


def plus_one(context):
    """One more than the step before gave."""
    return context.intermediate_results["double"] + 1


SUMS = Workflow(
    "sums",
    (Step(FunctionProcessor("double", double)), Step(FunctionProcessor("plus_one", plus_one))),
)


@pytest.fixture
def no_waiting():
    """Retries happen, the waits between them do not."""
    with stamina.set_testing(testing=True, attempts=3, cap=True):
        yield


def context_of(value=1, item_id="c-1", **results):
    """A context for one item, with what earlier executions completed."""
    return ProcessingContext(value, dict(results), {"item_id": item_id})


def test_steps_read_the_results_before_them():
    """The results of all steps are in the output, under their names."""
    output = SUMS.execute(context_of(20)).output

    assert output.results == {"double": 40, "plus_one": 41}
    assert (output.status, output.warnings) == ("done", ())


def test_a_completed_step_is_not_run_again():
    """A context restored from storage resumes; executing a finished one calls nothing."""
    flaky = Flaky()
    workflow = Workflow("w", (Step(FunctionProcessor("double", double)), Step(flaky)))

    context = workflow.execute(context_of(5, double="kept"))
    workflow.execute(context)

    assert context.intermediate_results == {"double": "kept", "flaky": 1}
    assert flaky.calls == 1


def test_a_result_of_none_counts_as_completed():
    """What was done is known by the name of the step, not by the value it gave."""
    flaky = Flaky()

    Workflow("w", (Step(flaky),)).execute(context_of(flaky=None))

    assert flaky.calls == 0


def test_an_error_names_step_item_attempt_and_causes():
    """Whoever reads only the message finds the item and the first cause."""

    def broken(context):
        try:
            {}["depth"]
        except KeyError as error:
            raise PermanentError("no chart") from error

    with pytest.raises(ProcessingError) as caught:
        Workflow("w", (Step(FunctionProcessor("chart", broken)),)).execute(context_of())

    error = caught.value
    assert (error.step, error.item, error.attempt) == ("chart", "c-1", 1)
    assert isinstance(error.__cause__, PermanentError)
    assert error.failed_at.tzinfo is not None
    assert "PermanentError: no chart <- KeyError: 'depth'" in str(error)


@pytest.mark.parametrize(
    ("of_step", "of_workflow", "critical", "calls", "goes_on"),
    [
        pytest.param(None, STOP, False, 1, False, id="stop"),
        pytest.param(None, CONTINUE, False, 1, True, id="continue"),
        pytest.param(None, RETRY, False, 3, False, id="retry_then_stop"),
        pytest.param(CONTINUE, STOP, False, 1, True, id="step_continues_in_stopping_workflow"),
        pytest.param(STOP, CONTINUE, False, 1, False, id="step_stops_in_continuing_workflow"),
        pytest.param(STOP, RETRY, False, 1, False, id="step_stops_in_retrying_workflow"),
        pytest.param(RETRY, CONTINUE, False, 3, True, id="step_retries_then_continues"),
        pytest.param(RETRY, STOP, False, 3, False, id="step_retries_then_stops"),
        pytest.param(None, CONTINUE, True, 1, False, id="critical_stops_a_continuing_workflow"),
        pytest.param(CONTINUE, CONTINUE, True, 1, False, id="critical_beats_its_own_strategy"),
        pytest.param(RETRY, CONTINUE, True, 3, False, id="critical_may_retry_first"),
    ],
)
@pytest.mark.usefixtures("no_waiting")
def test_strategies(of_step, of_workflow, critical, calls, goes_on):
    """The step's strategy wins over the workflow's, and a critical step always stops."""
    failing = Flaky(*[TransientError("down")] * 9)
    after = Flaky(name="after")
    workflow = Workflow("w", (Step(failing, critical, of_step), Step(after)), of_workflow)
    context = context_of()

    if goes_on:
        workflow.execute(context)
        assert context.output.status == "done_with_warnings"
        assert "flaky failed on c-1" in context.output.warnings[0]
    else:
        with pytest.raises(ProcessingError):
            workflow.execute(context)
        assert context.output.status == "failed"

    assert failing.calls == calls
    assert after.calls == int(goes_on)
    assert [error.attempt for error in context.errors] == [calls]


@pytest.mark.usefixtures("no_waiting")
def test_retry_recovers_from_transient_errors():
    """Two bad answers and a good one are a success without a trace in the output."""
    flaky = Flaky(TransientError("down"), ValueError("nobody sorted this one"))

    output = Workflow("w", (Step(flaky),), RETRY).execute(context_of()).output

    assert output.results == {"flaky": 3}
    assert output.status == "done"


@pytest.mark.usefixtures("no_waiting")
def test_a_permanent_error_is_not_tried_again():
    """What cannot succeed is not repeated, also when it follows a transient error."""
    flaky = Flaky(TransientError("down"), PermanentError("no such key"))

    with pytest.raises(ProcessingError, match="no such key") as caught:
        Workflow("w", (Step(flaky),), RETRY).execute(context_of())

    assert (flaky.calls, caught.value.attempt) == (2, 2)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("before", [0, 1], ids=["first_attempt", "later_attempt"])
@pytest.mark.usefixtures("no_waiting")
def test_an_interruption_is_never_retried_or_wrapped(stop, before):
    """Ctrl-C and a task runner's own signals pass through, whatever the strategies."""
    flaky = Flaky(*[TransientError("down")] * before, stop())

    with pytest.raises(stop):
        Workflow("w", (Step(flaky, on_error=RETRY),), CONTINUE).execute(context_of())

    assert flaky.calls == before + 1


def test_waits_grow_and_differ(monkeypatch):
    """Backoff is exponential with jitter: the second wait is longer, no two callers wait alike."""
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)

    for _ in range(20):
        with pytest.raises(ProcessingError):
            Workflow("w", (Step(Flaky(*[TransientError("x")] * 3)),), RETRY).execute(context_of())

    firsts, seconds = waits[::2], waits[1::2]
    assert all(0.2 <= wait <= 0.4 for wait in firsts)
    assert all(0.4 <= wait <= 0.6 for wait in seconds)
    assert len(set(waits)) > 20


def test_the_other_side_says_how_long_to_wait(monkeypatch):
    """Retry-After replaces the backoff."""
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)

    Workflow("w", (Step(Flaky(AskedToWaitError(7)), on_error=RETRY),)).execute(context_of())

    assert waits == [7]


def test_a_wait_beyond_the_budget_is_not_begun(monkeypatch):
    """No call waits an hour; the figure is kept for whoever schedules the next try."""
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    flaky = Flaky(AskedToWaitError(3600))

    with pytest.raises(ProcessingError) as caught:
        Workflow("w", (Step(flaky),), RETRY).execute(context_of())

    assert (waits, flaky.calls) == ([], 1)
    assert caught.value.context == {"retry_after_s": 3600}


@pytest.mark.parametrize("nonsense", [float("nan"), -1, "soon", True, None])
def test_an_unusable_retry_after_counts_as_unsaid(nonsense, monkeypatch):
    """A wait nobody can keep does not break the retry."""
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)

    Workflow("w", (Step(Flaky(AskedToWaitError(nonsense))),), RETRY).execute(context_of())

    assert len(waits) == 1
    assert 0.2 <= waits[0] <= 0.4


def test_one_budget_covers_a_whole_pass():
    """A provider that is down costs the batch its budget once, not once per item."""
    down = Flaky(*[TransientError("down")] * 100)
    budget = RetryBudget(left_s=0.5)
    items = [(str(n), context_of()) for n in range(30)]
    began = time.monotonic()

    outcomes = list(
        run_step_over_items(Step(down, on_error=RETRY), items, strategy=CONTINUE, budget=budget)
    )

    assert time.monotonic() - began < 10
    assert outcomes[0].attempts == 2
    assert [outcome.attempts for outcome in outcomes[2:]] == [1] * 28


def test_a_deadline_ends_the_attempts():
    """timeout_s bounds all attempts of a step together."""
    flaky = Flaky(*[TransientError("down")] * 3)

    with pytest.raises(ProcessingError):
        Workflow("w", (Step(flaky, timeout_s=0.05),), RETRY).execute(context_of())

    assert flaky.calls == 1


def test_a_failed_workflow_resumes_at_the_failed_step():
    """Executing the same context again runs the failed step, and forgets what it said before."""
    flaky = Flaky(TransientError("down"))
    workflow = Workflow("w", (Step(FunctionProcessor("double", double)), Step(flaky)))
    context = context_of(4)
    with pytest.raises(ProcessingError):
        workflow.execute(context)

    workflow.execute(context)

    assert context.output.results == {"double": 8, "flaky": 2}
    assert (context.output.status, context.errors) == ("done", [])


def test_a_step_that_was_passed_over_loses_its_warning_when_it_succeeds():
    """Warnings describe the output as it is now; those of others stay."""
    flaky = Flaky(TransientError("down"))
    workflow = Workflow("w", (Step(flaky),), CONTINUE)
    context = context_of()
    context.warnings.append("texte coupé")
    workflow.execute(context)
    assert len(context.warnings) == 2

    workflow.execute(context)

    assert context.warnings == ["texte coupé"]


def test_two_steps_of_one_name_are_refused():
    """The second would pass for done."""
    step = Step(FunctionProcessor("double", double))
    with pytest.raises(ConfigurationError, match="double"):
        Workflow("w", (step, step))


@pytest.mark.parametrize(
    "settings", [{"max_attempts": 0}, {"max_attempts": 4}, {"timeout_s": 0}, {"timeout_s": -1}]
)
def test_a_step_refuses_what_it_could_not_keep(settings):
    """A call tries one to three times, and a limit is longer than nothing."""
    with pytest.raises(ConfigurationError):
        Step(FunctionProcessor("double", double), **settings)


def test_every_attempt_is_measured():
    """Attempts, skipped steps and their reasons reach the observer in order."""
    seen: list[WorkflowMetrics] = []
    flaky = Flaky(TransientError("down"), PermanentError("gone"))
    workflow = Workflow(
        "w",
        (
            Step(FunctionProcessor("double", double)),
            Step(flaky, on_error=RETRY),
            Step(FunctionProcessor("plus_one", plus_one)),
        ),
    )

    with pytest.raises(ProcessingError), stamina.set_testing(testing=True, attempts=3, cap=True):
        workflow.execute(context_of(double=2), observer=seen.append)

    assert [(m.step_name, m.status, m.error_message) for m in seen] == [
        ("double", "skipped", "already done"),
        ("flaky", "failed", "TransientError: down"),
        ("flaky", "failed", "PermanentError: gone"),
        ("plus_one", "skipped", "not run: flaky failed"),
    ]
    assert all(m.start_time <= m.end_time and m.start_time.tzinfo for m in seen)


def test_a_measurement_holds_duration_and_sizes():
    """One item in, one result out, and the time between."""
    seen: list[WorkflowMetrics] = []
    nap = Step(FunctionProcessor("nap", lambda _: time.sleep(0.02)))

    Workflow("w", (nap,)).execute(context_of(), observer=seen.append)

    assert (seen[0].status, seen[0].input_size, seen[0].output_size) == ("success", 1, 1)
    assert 20 <= seen[0].duration_ms < 500


def test_a_timeout_is_measured_as_one():
    """A step's own TimeoutError has a status of its own."""
    seen: list[WorkflowMetrics] = []

    with pytest.raises(ProcessingError):
        Workflow("w", (Step(Flaky(TimeoutError("30 s"))),)).execute(
            context_of(), observer=seen.append
        )

    assert seen[0].status == "timeout"


def test_a_failing_observer_changes_nothing(caplog):
    """Measuring never decides whether the work counts; its error is in the log."""

    def broken(metrics):
        raise OSError("no space left")

    output = SUMS.execute(context_of(1), observer=broken).output

    assert output.results == {"double": 2, "plus_one": 3}
    assert "no space left" in caplog.text


def test_a_coroutine_function_is_a_processor():
    """An async step runs among plain ones."""

    async def double_later(context):
        await asyncio.sleep(0)
        return context.input_data * 2

    workflow = Workflow(
        "w",
        (
            Step(FunctionProcessor("double", double_later)),
            Step(FunctionProcessor("plus_one", plus_one)),
        ),
    )

    assert workflow.execute(context_of(3)).output.results == {"double": 6, "plus_one": 7}


def test_an_awaitable_is_interrupted_at_its_deadline():
    """Inside a process the one limit that can be kept is that of a coroutine."""

    async def forever(context):
        await asyncio.sleep(60)

    began = time.monotonic()
    with pytest.raises(ProcessingError) as caught:
        Workflow("w", (Step(FunctionProcessor("wait", forever), timeout_s=0.05),)).execute(
            context_of()
        )

    assert time.monotonic() - began < 5
    assert isinstance(caught.value.cause, TimeoutError)


def test_a_hundred_at_once_are_a_hundred_right_results():
    """Concurrent executions share nothing; each result is checked, not the absence of errors."""

    async def all_at_once():
        return await asyncio.gather(
            *(asyncio.to_thread(SUMS.execute, context_of(n)) for n in range(100))
        )

    contexts = asyncio.run(all_at_once())

    assert [context.output.results["plus_one"] for context in contexts] == [
        2 * n + 1 for n in range(100)
    ]


def test_one_outcome_per_item_in_order():
    """Ids in are ids out, duplicates and failures included; contexts stay as they were."""

    def picky(context):
        if context.input_data < 0:
            raise PermanentError("negative")
        return context.input_data

    contexts = [context_of(value) for value in (3, -1, 5, -2)]
    items = list(zip(["a", "b", "a", "d"], contexts, strict=True))
    seen: list[WorkflowMetrics] = []

    outcomes = list(
        run_step_over_items(
            Step(FunctionProcessor("pick", picky)), items, strategy=CONTINUE, observer=seen.append
        )
    )

    assert [outcome.item_id for outcome in outcomes] == ["a", "b", "a", "d"]
    assert [outcome.result for outcome in outcomes] == [3, None, 5, None]
    assert [outcome.error is None for outcome in outcomes] == [True, False, True, False]
    assert outcomes[1].error.item == "b"
    assert all(context.intermediate_results == {} for context in contexts)
    assert (seen[0].status, seen[0].input_size, seen[0].output_size) == ("success", 4, 2)
    assert "2 of 4 items failed" in seen[0].error_message
    with pytest.raises(FrozenInstanceError):
        outcomes[0].result = 9


def test_a_pass_is_lazy():
    """An item is taken when its outcome is asked for; an unfinished pass says so."""
    taken = []
    seen: list[WorkflowMetrics] = []

    def items():
        for n in range(10):
            taken.append(n)
            yield str(n), context_of(n)

    outcomes = run_step_over_items(
        Step(FunctionProcessor("double", double)), items(), observer=seen.append
    )
    next(outcomes)
    assert taken == [0]

    outcomes.close()

    assert (seen[0].status, seen[0].input_size) == ("failed", 1)
    assert "abandoned" in seen[0].error_message


def test_a_stopping_pass_raises_and_touches_nothing_after():
    """What was yielded before stands; the items after the failed one were not begun."""
    flaky = Flaky(name="work")
    items = [(str(n), context_of(n)) for n in range(5)]
    got = []

    def work(context):
        if context.input_data == 2:
            raise PermanentError("bad item")
        return flaky(context)

    with pytest.raises(ProcessingError, match="failed on 2"):
        got.extend(run_step_over_items(Step(FunctionProcessor("work", work)), items))

    assert [outcome.item_id for outcome in got] == ["0", "1"]
    assert flaky.calls == 2


def test_a_pass_gives_the_stored_result_of_a_completed_item():
    """Doing it twice is doing it once: no attempt is made."""
    flaky = Flaky()

    [outcome] = run_step_over_items(Step(flaky), [("a", context_of(flaky="stored"))])

    assert (outcome.result, outcome.attempts, flaky.calls) == ("stored", 0, 0)


def test_a_pass_ends_at_its_deadline():
    """Items not begun have not failed: the pass raises, even where failures are continued past."""
    seen: list[WorkflowMetrics] = []
    nap = Step(FunctionProcessor("nap", lambda _: time.sleep(0.03)), timeout_s=0.05)
    got = []

    items = ((str(n), context_of()) for n in range(100))
    outcomes = run_step_over_items(nap, items, strategy=CONTINUE, observer=seen.append)

    with pytest.raises(ProcessingError, match="before this item was begun"):
        got.extend(outcomes)

    assert 1 <= len(got) <= 2
    assert (seen[0].status, seen[0].output_size) == ("timeout", len(got))
