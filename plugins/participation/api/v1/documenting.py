"""What the OpenAPI document says of a body that is read by a dependency of ours."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from participation.api.v1.problems import MEDIA_TYPE, Problem

_REF = "#/components/schemas/{model}"
_FORMS: dict[str, Any] = {}


def takes(form: Any, limit: int) -> dict[str, Any]:
    """Describe a JSON body of a form, for ``openapi_extra``."""
    schema = TypeAdapter(form).json_schema(ref_template=_REF)
    _FORMS.update(schema.pop("$defs", {}))
    if title := schema.get("title"):
        _FORMS[title] = schema
        schema = {"$ref": _REF.format(model=title)}
    return {
        "requestBody": {
            "required": True,
            "description": f"At most {limit // 1024:,} KB.",
            "content": {"application/json": {"schema": schema}},
        }
    }


def described(app: FastAPI) -> dict[str, Any]:
    """Write the OpenAPI document: the forms of the bodies, and the problems every route may answer."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        servers=[{"url": "/participation/api/v1"}],
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(_FORMS)
    problem = TypeAdapter(Problem).json_schema(ref_template=_REF)
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    answered = {"content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}}}
    for path in document["paths"].values():
        for operation in path.values():
            responses = operation["responses"]
            responses.pop("422", None)
            responses["default"] = {"description": "What went wrong.", **answered}
    return document
