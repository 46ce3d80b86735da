"""The locks of the doors: who it is, how often, whether they may, and not by a cookie alone.

In this order, and all of it before a byte of the body is read.
"""

import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import Literal

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import (
    ConnectionDetails,
    DagAccessEntity,
    DagDetails,
)
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import HTTPException, Request

from participation.api.acting import OWN_HEADER, is_by_cookie_alone
from participation.api.v1.problems import ProblemError
from participation.api.v1.rates import Buckets
from participation.settings import Settings

ANALYSIS = "contribution_analysis"
REVIEW = "contribution_review"
INTAKE = "document_intake"

Method = Literal["GET", "POST", "PUT"]


def may_read(dag_id: str) -> Callable[[Request, BaseUser], None]:
    """Make a lock that opens for who may see the runs of a DAG."""
    return requires_access_dag("GET", DagAccessEntity.RUN, dag_id)


def may_start(dag_id: str) -> Callable[[Request, BaseUser], None]:
    """Make a lock that opens for who may start runs of a DAG."""
    return requires_access_dag("POST", DagAccessEntity.RUN, dag_id)


def may_one_of(method: Method, dag_ids: Callable[[], Iterable[str]]) -> Callable[[BaseUser], None]:
    """Make a lock that opens for who may read or start runs of any of some DAGs.

    Which of them it is about is known later, and asked then.
    """

    def may_one(user: GetUserDep) -> None:
        if not any(is_allowed(user, method, dag_id) for dag_id in dag_ids()):
            raise HTTPException(403)

    return may_one


def is_allowed(user: BaseUser, method: Method, dag_id: str) -> bool:
    """Say whether a user may read (GET), start (POST) or change (PUT) runs of a DAG."""
    return bool(
        get_auth_manager().is_authorized_dag(
            method=method,
            access_entity=DagAccessEntity.RUN,
            details=DagDetails(id=dag_id),
            user=user,
        )
    )


def may_send_out(user: GetUserDep) -> None:
    """Open for who may add connections: they say where the town's data goes."""
    if not get_auth_manager().is_authorized_connection(
        method="POST", details=ConnectionDetails(), user=user
    ):
        raise ProblemError(
            403, "Only who may add connections may say where events are sent; ask an administrator."
        )


def within_rate(user: GetUserDep) -> None:
    """Let a user pass as often as the settings say."""
    wait_s = buckets().wait_s(str(user.get_id()))
    if wait_s:
        seconds = str(math.ceil(wait_s))
        raise ProblemError(
            429,
            f"Too many requests: wait {seconds} s, and send contributions 1,000 at a time.",
            headers={"Retry-After": seconds},
        )


@cache
def buckets() -> Buckets:
    """Return this process's buckets, as the settings make them."""
    settings = Settings()
    return Buckets(settings.api_burst, settings.api_per_second)


def not_by_cookie_alone(request: Request) -> None:
    """Let a change pass only with a token, or from a page of this very server with our header."""
    if is_by_cookie_alone(request):
        raise ProblemError(
            403,
            "A cookie alone changes nothing: send the token as 'Authorization: Bearer ...', or, from a "
            f"page of this server, the header {OWN_HEADER}.",
        )
