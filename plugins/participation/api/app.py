"""The FastAPI application under ``/participation``, and the locks of its doors."""

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag, requires_authenticated
from fastapi import Depends, FastAPI

from participation.api import daily_reports, documents, runs

INTAKE = "document_intake"

app = FastAPI(
    title="Participation",
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
    dependencies=[
        Depends(requires_authenticated()),
    ],
)

app.include_router(
    daily_reports.router,
    dependencies=[
        Depends(requires_access_dag("GET", DagAccessEntity.RUN, runs.CHAIN)),
    ],
)
app.include_router(
    documents.router,
    dependencies=[
        Depends(requires_access_dag("GET", DagAccessEntity.RUN, INTAKE)),
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
