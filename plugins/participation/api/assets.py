"""The style sheet and the script of the pages: ours, served by us, the same for everybody logged in."""

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import Response

from include.pages import asset
from participation.api.serving import HEADERS

router = APIRouter(prefix="/static")


@router.get("/{name}")
def asset_of(name: Annotated[str, Path(pattern=r"^pages\.(css|js)$")]) -> Response:
    """Serve a file; its address carries its version, so a browser asks for it once."""
    found = asset(name)
    return Response(
        found.content,
        media_type=found.media_type,
        headers={**HEADERS, "Cache-Control": "private, max-age=31536000, immutable"},
    )
