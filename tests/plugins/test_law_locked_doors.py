"""Law 8, every door is locked: who asks, and whether they may."""

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from participation.api.app import app


def routes(application):
    return [route for route in application.routes if isinstance(route, APIRoute)]


def guards(dependant):
    found = {
        getattr(each.call, "__qualname__", repr(each.call)).split(".")[0]
        for each in dependant.dependencies
    }
    return found.union(*(guards(each) for each in dependant.dependencies))


def test_the_application_shows_nothing_by_itself():
    """No schema, no generated pages, no mounted folder: every route is one of ours."""
    assert {type(route).__name__ for route in app.routes} == {"APIRoute"}
    assert routes(app)


OURS = {"/static/{name}"}
"""The style sheet and the script: nobody's words, the same for whoever is logged in."""


@pytest.mark.parametrize("route", routes(app), ids=lambda route: route.path)
def test_every_route_asks_who_and_whether_they_may(route):
    """Both questions stand on each route; one added without them fails here."""
    assert "requires_authenticated" in guards(route.dependant)
    assert route.path in OURS or "requires_access_dag" in guards(route.dependant)
    assert route.methods <= {"GET", "HEAD"} or "of_our_page" in guards(route.dependant), (
        "what changes something needs more than a cookie"
    )


@pytest.mark.parametrize("route", routes(app), ids=lambda route: route.path)
def test_nobody_gets_in_without_a_login(route):
    """Anonymous is 401 on every route, before anything of it runs."""
    path = route.path.replace("{day}", "2026-01-12").replace("{question_id}", "1")
    method = next(iter(route.methods))

    answer = TestClient(app, raise_server_exceptions=False).request(
        method, f"{path}?dag_id=daily_chain&run_id=x", follow_redirects=False
    )

    assert answer.status_code == 401
