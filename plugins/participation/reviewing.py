"""Which reviewer judges: the rules alone, or the rules and a connected language model.

Without the connection ``participation_llm`` everything is the embedded reviewer's, and no model library
is loaded. With it, a town's texts are judged by both; what no provider answered for is judged by the
rules alone under a rubric of its own, and again once a provider is back.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from include.anonymisation import Anonymise, anonymise_for_outside
from include.anonymisation.measures import sentences
from include.anonymisation.recognisers import recogniser_of
from include.contributions import scoring
from include.contributions.analysis import Pace
from include.contributions.model_asking import Asking
from include.contributions.model_reviewer import ModelReviewer, RulesAlone
from include.contributions.reviewer import EmbeddedReviewer, embedded_reviewer
from include.errors import BudgetSpentError, CircuitOpenError
from include.municipality import DATA, Municipality, load_municipality
from include.ports import Reviewer
from include.processing.model import Step
from participation.hooks.language_models import ConnectedModel, Provider, connected_chain
from participation.ledger.connection import connect
from participation.ledger.model_calls import ModelCalls
from participation.settings import Settings
from participation.steps import Visit

MODEL_SAVE_AFTER_S = 0.5
"""A model's results become rows as they come; the answers behind them are kept one by one anyway."""

SHARE_FOR_ASKING = 0.6
"""Of the time limit of a task's last attempt; the rules need little of the rest, a call its deadline."""

ASKING_STEPS = ("validate", "classify")

log = logging.getLogger(__name__)


@dataclass
class Reviewers:
    """Who judges now, and who does when no provider answers.

    Attributes:
        usual: The embedded reviewer, or the one that asks a model too.
        alone: The rules where no provider answers; None without a connection.
    """

    usual: Reviewer
    alone: RulesAlone | None = None

    def under(self, rubric_version: str) -> Reviewer:
        """Return the reviewer of a chunk; the usual one where no other has its rubric."""
        if self.alone is not None and self.alone.rubric_version == rubric_version:
            return self.alone
        return self.usual

    def pace(self, reviewer: Reviewer, step: str) -> Pace:
        """Ask a model about the next texts meanwhile, and make its results rows as they come."""
        if not isinstance(reviewer, ModelReviewer) or step not in ASKING_STEPS:
            return Pace()
        return Pace(
            lambda items: reviewer.ahead(items, lambda item: item.contribution), MODEL_SAVE_AFTER_S
        )

    def once(self, step: Step) -> Step:
        """Leave trying again to the model's own calls, where one is asked."""
        return replace(step, max_attempts=1) if self.alone else step


@contextmanager
def reviewers_for(visit: Visit, *, patient: bool | None = None) -> Iterator[Reviewers]:
    """Choose who judges for a task attempt, by the connection ``participation_llm``.

    Args:
        visit: The attempt.
        patient: Whether an outage is raised for a retry to wait for; by default while Airflow will try
            again by itself.

    Raises:
        ConfigurationError: There is a connection and it cannot be used.
    """
    rules = embedded_reviewer(visit.settings.municipality)
    chain = connected_chain()
    if not chain:
        yield Reviewers(rules)
        return
    attempt = visit.attempt
    calls = ModelCalls(lambda: connect(visit.dsn), attempt.dag_id, attempt.run_id)
    waits = not visit.is_last_attempt if patient is None else patient
    reviewer = model_reviewer(visit.settings, rules, chain, calls, patient=waits)
    reviewer.until = None if waits else _last_question(visit)
    try:
        yield Reviewers(reviewer, reviewer.alone)
    except Exception:
        reviewer.close()
        raise
    except BaseException:
        # Out of time: what is on its way stays charged, and is asked again.
        reviewer.close(0)
        raise
    else:
        reviewer.close()


def model_reviewer(
    settings: Settings,
    rules: EmbeddedReviewer,
    chain: Sequence[Provider],
    calls: ModelCalls,
    *,
    patient: bool = False,
) -> ModelReviewer:
    """Build the reviewer of a chain; the library is loaded when it is first asked."""
    model = ConnectedModel(chain, calls)
    return ModelReviewer(
        rules,
        town_of(settings.municipality),
        Asking(model, calls),
        anonymise=anonymise_for(model, settings),
        min_confidence=max(each.min_confidence for each in chain),
        patient=patient,
    )


def _last_question(visit: Visit) -> float | None:
    """Say when a last attempt stops asking: nobody goes on where it ends for want of time."""
    limit = getattr(visit.context.get("task"), "execution_timeout", None)
    return None if limit is None else time.monotonic() + limit.total_seconds() * SHARE_FOR_ASKING


def anonymise_for(model: ConnectedModel, settings: Settings) -> Anonymise | None:
    """Return what a text goes through before it is sent; None for a model in the house.

    Raises:
        ConfigurationError: The recogniser of names that a setting asks for is not installed.
    """
    if not model.is_outside:
        return None
    for sentence in sentences():
        log.warning("texts go outside, anonymised: %s", sentence)
    return partial(
        anonymise_for_outside,
        recogniser=recogniser_of(settings.name_recogniser),
        municipality=settings.municipality,
    )


def current_rubric(visit: Visit) -> str:
    """Name the rubric under which work is claimed now: the rules' own while no provider may be asked."""
    return rubrics_now(visit)[0]


def rubrics_now(visit: Visit) -> tuple[str, ...]:
    """Name the rubric under which work is claimed now, and then the one whose judgements stand too.

    While no provider may be asked the rules judge what nobody judged, and undo nothing that a model
    judged with them.
    """
    with reviewers_for(visit) as reviewers:
        usual = reviewers.usual
        if not isinstance(usual, ModelReviewer):
            return (usual.rubric_version,)
        model = usual.asking.model
        assert isinstance(model, ConnectedModel)  # noqa: S101 - built above
        try:
            model.check(usual.question(""))
        except (CircuitOpenError, BudgetSpentError) as error:
            log.warning("judging by the rules alone: %s", error)
            return usual.alone.rubric_version, usual.rubric_version
        return (usual.rubric_version,)


def scorecard(visit: Visit, samples: Sequence[scoring.Sample]) -> scoring.Scorecard:
    """Score who judges now; a model that goes away meanwhile leaves the rules to be scored.

    The rules answer for every sample, a model for some of each kind.

    Raises:
        CircuitOpenError: No provider may be asked, and this task will be tried again.
    """
    with reviewers_for(visit) as reviewers:
        usual = reviewers.usual
        if not isinstance(usual, ModelReviewer):
            return scoring.score_reviewer(samples, usual)
        samples = scoring.some_of_each_kind(samples)
        ready = list(usual.ahead(samples, lambda sample: sample.contribution))
        found = {usual.validate(sample.contribution).rubric_version for sample in ready}
        if found - {usual.rubric_version}:
            log.warning("scoring the rules alone: no provider answered for every sample")
            return scoring.score_reviewer(samples, usual.alone)
        return scoring.score_reviewer(ready, usual)


@lru_cache(maxsize=4)
def town_of(municipality: str) -> Municipality:
    """Return a town's charter and words; read on the first call in a process."""
    return load_municipality(DATA / municipality)
