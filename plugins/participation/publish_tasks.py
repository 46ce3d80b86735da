"""Send new dataset versions to Opik, where the connection ``participation_opik`` names one.

Its host is the address up to and without ``/v1``, its password the key, its extra ``{"workspace": ...}``.
Nobody waits for it: whatever goes wrong is a warning, and the next run goes on where this one stopped.
"""

import logging
import time
from collections.abc import Mapping
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowSkipException

from include.anonymisation import NameRecogniser
from include.anonymisation.location import location_of
from include.anonymisation.recognisers import recogniser_of
from include.documents import opik
from include.documents.anonymising import anonymised
from include.errors import PermanentError, RequestRefusedError, TransientError, cause_chain
from participation.dataset_tasks import DATASET_NAME
from participation.ledger.publications import LedgerPublications, Publication
from participation.steps import Visit

OPIK_CONN_ID = "participation_opik"

BUDGET_S = 300.0
"""For all versions of a run; what is left is sent by the next one."""

log = logging.getLogger(__name__)


def publish(visit: Visit) -> dict[str, Any]:
    """Send what is missing there.

    Raises:
        AirflowSkipException: No connection, or everything is there.
    """
    told: dict[str, Any] = {"published": [], "sent": 0, "kept_back": 0, "warnings": []}
    try:
        site = opik_site()
    except PermanentError as error:
        return warned(told, str(error))
    publications = LedgerPublications(visit.connection, visit.settings.municipality, site.name)
    waiting = publications.begin(DATASET_NAME)
    if not waiting:
        raise AirflowSkipException(f"nothing to do: every version is at {site.name}")
    deadline = time.monotonic() + BUDGET_S
    for publication in waiting:
        visit.item = f"dataset {DATASET_NAME} version {publication.version}"
        try:
            _send(visit, site, publications, publication, deadline, told)
        except (TransientError, PermanentError) as error:
            publications.warn(publication, cause_chain(error)[:500])
            warned(told, f"{visit.item} is not whole there: {cause_chain(error)}")
            if not isinstance(error, RequestRefusedError):
                # The next version would meet the same: it waits with this one.
                break
    visit.input_size, visit.output_size = len(waiting), told["sent"]
    return told


def opik_site() -> opik.OpikSite:
    """Name the installation that the connection names.

    Raises:
        AirflowSkipException: There is no connection.
        ConfigurationError: Its address or key cannot work.
    """
    try:
        connection = BaseHook.get_connection(OPIK_CONN_ID)
    except AirflowNotFoundException:
        raise AirflowSkipException(
            f"nothing to do: there is no connection {OPIK_CONN_ID}"
        ) from None
    workspace = str(connection.extra_dejson.get("workspace", ""))
    return opik.OpikSite(
        connection.host or "", connection.password or "", workspace, opik.DEADLINE_S
    )


def warned(told: dict[str, Any], sentence: str) -> dict[str, Any]:
    """Log a warning and keep it for the docket; what was told so far, with it."""
    log.warning("%s", sentence)
    told["warnings"].append(sentence[:500])
    return told


def _send(
    visit: Visit,
    site: opik.OpikSite,
    publications: LedgerPublications,
    publication: Publication,
    deadline: float,
    told: dict[str, Any],
) -> None:
    town = visit.settings.municipality
    version = opik.Version(
        f"{town}-{DATASET_NAME}-v{publication.version}",
        publication.content_hash,
        publication.created_at,
    )
    site.create(
        version, f"Version {publication.version} of {DATASET_NAME}, {publication.content_hash}"
    )
    is_local = location_of(site.base_url) == "local"
    recogniser = None if is_local else recogniser_of(visit.settings.name_recogniser)
    items = (
        opik.Item(position, content if is_local else _without_persons(content, recogniser))
        for position, content in publications.examples(publication)
    )
    for batch in opik.batches(items):
        if time.monotonic() > deadline:
            raise TransientError(f"{BUDGET_S:.0f} s are over; the next run sends the rest")
        site.send(version, batch)
        publications.sent(publication, batch[-1].position + 1, len(batch))
        told["sent"] += len(batch)
    publications.end(publication)
    told["kept_back"] += publications.kept_back(publication)
    told["published"].append(publication.version)


def _without_persons(
    content: Mapping[str, Any], recogniser: NameRecogniser | None = None
) -> dict[str, Any]:
    return {**content, "text": anonymised(str(content["text"]), recogniser)}
