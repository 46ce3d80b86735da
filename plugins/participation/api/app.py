"""The FastAPI application under ``/participation``, and the locks of its doors."""

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag, requires_authenticated
from fastapi import Depends, FastAPI
from starlette.exceptions import HTTPException

from participation.api import (
    assets,
    attempts,
    contributions,
    daily_reports,
    documents,
    evaluations,
    overview,
    quarantine,
    review,
    runs,
    searching,
    workflow_pages,
)
from participation.api.serving import CHAIN, EVALUATE, INTAKE, refused

app = FastAPI(
    title="Participation",
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
    dependencies=[
        Depends(requires_authenticated()),
    ],
)

app.add_exception_handler(HTTPException, refused)
app.include_router(assets.router)
for pages in (overview, contributions, review, quarantine, daily_reports):
    app.include_router(
        pages.router,
        dependencies=[
            Depends(requires_access_dag("GET", DagAccessEntity.RUN, CHAIN)),
        ],
    )
for pages in (documents, searching):
    app.include_router(
        pages.router,
        dependencies=[
            Depends(requires_access_dag("GET", DagAccessEntity.RUN, INTAKE)),
        ],
    )
app.include_router(
    workflow_pages.router,
    dependencies=[
        # Of the DAGs that its rows are about, each row asks by itself.
        Depends(requires_access_dag("GET", DagAccessEntity.RUN)),
    ],
)
app.include_router(
    workflow_pages.run_router,
    dependencies=[
        # The DAG that the address names, and what its input and output may hold of citizens' words.
        Depends(requires_access_dag("GET", DagAccessEntity.RUN)),
        Depends(requires_access_dag("GET", DagAccessEntity.RUN, CHAIN)),
    ],
)
app.include_router(
    attempts.router,
    dependencies=[
        # The DAG that the address names.
        Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE)),
    ],
)
app.include_router(
    evaluations.router,
    dependencies=[
        Depends(requires_access_dag("GET", DagAccessEntity.RUN, EVALUATE)),
    ],
)
app.include_router(
    runs.router,
    dependencies=[
        # The DAG that the address names.
        Depends(requires_access_dag("GET", DagAccessEntity.RUN)),
        Depends(runs.may_see_days),
    ],
)
