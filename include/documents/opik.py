"""Send dataset versions and evaluations to Opik, so that they can be looked at and compared there.

A version of ours is a dataset of its own there, named after it; an evaluation is an experiment on such
a dataset. Items carry ids made from what they are, so that sending one twice leaves one. It is asked by
its REST interface alone: nothing of Opik runs here, so nothing of it reports on us.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

import requests
from requests.auth import AuthBase

from include.credentials import header_value, site_address
from include.errors import ConfigurationError
from include.exchange import Answer, attempts, raise_for, send_json

DEADLINE_S = 30.0
"""For one request: all attempts and the waits between them."""

BATCH_ITEMS = 500
BATCH_CHARACTERS = 1_000_000
"""Of one request; its interface takes no more than a thousand items."""

MAX_ANSWER_BYTES = 64 * 1024
SUCCESS = 2


@dataclass(frozen=True, slots=True)
class Item:
    """One example as it is sent: its position in the version, and its content."""

    position: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What was answered for one item of a dataset, and how it scored."""

    position: int
    given: Mapping[str, Any]
    output: Mapping[str, Any]
    scores: Mapping[str, float]
    took_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Version:
    """Which version is sent; together with a position it names an item for good."""

    name: str
    content_hash: str
    created_at: datetime

    def id_of(self, position: int) -> UUID:
        """Make the id of an item, or with -1 of the dataset: a UUID of version 7, as Opik demands."""
        seed = f"{self.name} {self.content_hash} {position}".encode()
        value = int.from_bytes(hashlib.sha256(seed).digest()[:16])
        moment = int(self.created_at.timestamp() * 1000) & ((1 << 48) - 1)
        value = (moment << 80) | (value & ((1 << 80) - 1))
        value = (value & ~(0xF << 76)) | (7 << 76)
        return UUID(int=(value & ~(0x3 << 62)) | (0x2 << 62))


class _Key(AuthBase):
    """Opik takes the key as it is, without a scheme before it."""

    def __init__(self, api_key: str, workspace: str) -> None:
        self._named = {"Authorization": api_key, "Comet-Workspace": workspace}

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update({name: value for name, value in self._named.items() if value})
        return request


@dataclass(frozen=True, slots=True)
class OpikSite:
    """An installation of Opik.

    Attributes:
        base_url: Up to and without ``/v1``, such as ``https://www.comet.com/opik/api``.
        api_key: Never shown; empty for an installation that asks for none.
        workspace: Where the datasets go; empty for the default one.
        deadline_s: For one request, everything included.
    """

    base_url: str
    api_key: str = field(default="", repr=False)
    workspace: str = ""
    deadline_s: float = DEADLINE_S

    def __post_init__(self) -> None:
        """Refuse an address, a key or a workspace that cannot work."""
        object.__setattr__(self, "base_url", site_address(self.base_url, "Opik"))
        for name in ("api_key", "workspace"):
            object.__setattr__(self, name, header_value(getattr(self, name), "Opik"))
        if self.deadline_s <= 0:
            raise ConfigurationError("Opik: deadline_s must be above 0")

    @property
    def name(self) -> str:
        """Site and workspace: what was sent to one was not sent to another."""
        return f"{self.base_url.rstrip('/')} {self.workspace}".strip()

    def create(self, version: Version, description: str) -> None:
        """Make the dataset, or find that it is there; errors as for :meth:`send`."""
        content = {
            "id": str(version.id_of(-1)),
            "name": version.name,
            "description": description,
            "visibility": "private",
        }
        # Under our name, and in our workspace: made by an attempt whose answer was lost.
        self._sent("POST", "/v1/private/datasets", content, HTTPStatus.CONFLICT)

    def send(self, version: Version, items: Sequence[Item]) -> None:
        """Send some items; those already there are written over by the same.

        Raises:
            ProviderUnavailableError: No whole answer in time, or Opik asks to wait.
            ProviderRefusedError: Key, workspace or request are refused; nothing was tried again.
        """
        rows = [
            {"id": str(version.id_of(item.position)), "source": "sdk", "data": dict(item.data)}
            for item in items
        ]
        content = {"dataset_name": version.name, "items": rows}
        self._sent("PUT", "/v1/private/datasets/items", content)

    def begin_experiment(
        self, experiment: Version, dataset: Version, metadata: Mapping[str, Any]
    ) -> None:
        """Make the experiment, or find that it is there; errors as for :meth:`send`."""
        content = {
            "id": str(experiment.id_of(-1)),
            "name": experiment.name,
            "dataset_name": dataset.name,
            "metadata": dict(metadata),
        }
        self._sent("POST", "/v1/private/experiments", content, HTTPStatus.CONFLICT)

    def send_results(
        self, experiment: Version, dataset: Version, results: Sequence[Result]
    ) -> None:
        """Send what was answered and how it scored, beside the items; errors as for :meth:`send`."""
        began = experiment.created_at
        rows = [
            {
                "dataset_item_id": str(dataset.id_of(result.position)),
                "trace": {
                    "id": str(experiment.id_of(result.position)),
                    "name": "sample",
                    "project_name": dataset.name,
                    "start_time": began.isoformat(),
                    "end_time": (began + timedelta(milliseconds=result.took_ms)).isoformat(),
                    "input": dict(result.given),
                    "output": dict(result.output),
                },
                "feedback_scores": [
                    {"name": name, "value": value, "source": "sdk"}
                    for name, value in result.scores.items()
                ],
            }
            for result in results
        ]
        content = {
            "experiment_id": str(experiment.id_of(-1)),
            "experiment_name": experiment.name,
            "dataset_name": dataset.name,
            "items": rows,
        }
        self._sent("PUT", "/v1/private/experiments/items/bulk", content)

    def _sent(self, method: Any, path: str, content: Mapping[str, Any], *fine: int) -> Answer:
        deadline = time.monotonic() + self.deadline_s
        for attempt in attempts("opik", self.name, deadline):
            with attempt:
                answer = send_json(
                    method,
                    self.base_url.rstrip("/") + path,
                    content,
                    auth=_Key(self.api_key, self.workspace),
                    deadline=deadline,
                    max_bytes=MAX_ANSWER_BYTES,
                )
                if answer.status // 100 == SUCCESS or answer.status in fine:
                    return answer
                raise_for(self.name, answer, self.api_key)
        raise AssertionError("the retry machinery returns or raises")


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Cut items into requests, by their number and length; lazily, in order."""
    batch: list[Item] = []
    characters = 0
    for item in items:
        length = len(str(item.data))
        if batch and (len(batch) == BATCH_ITEMS or characters + length > BATCH_CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(item)
        characters += length
    if batch:
        yield batch
