"""Inside the house or outside, and nothing outside that nobody allowed."""

import pytest

from include.anonymisation.location import allowed_location, location_of
from include.documents.chat import ChatModel
from include.documents.embedding.openai_compatible import OpenAICompatibleEngine
from include.errors import ConfigurationError

OUTSIDE = "https://provider.example/v1"


@pytest.mark.parametrize(
    ("host", "extra", "location"),
    [
        ("http://127.0.0.1:8080/v1", {}, "local"),
        ("http://localhost/v1", {}, "local"),
        ("localhost", {}, "local"),
        ("http://localhost./v1", {}, "local"),
        ("192.168.1.4", {}, "local"),
        ("http://[::1]:8080/v1", {}, "local"),
        ("http://[fd00::4]/v1", {}, "local"),
        ("http://[::ffff:10.0.0.4]/v1", {}, "local"),
        ("http://models.town.example/v1", {"is_local": True}, "local"),
        ("http://127.0.0.1:8080/v1", {"is_local": False}, "outside"),
        (OUTSIDE, {}, "outside"),
        ("https://8.8.8.8/v1", {}, "outside"),
        ("http://[::ffff:8.8.8.8]/v1", {}, "outside"),
        ("http://localhost.provider.example/v1", {}, "outside"),
        ("http://127.0.0.1.provider.example/v1", {}, "outside"),
        ("http://2130706433/v1", {}, "outside"),
        ("http://[bad/v1", {}, "outside"),
        ("", {}, "outside"),
        (None, None, "outside"),
    ],
)
def test_where_a_connection_leads(host, extra, location):
    """By its host, unless its extra says; a name that only looks like this machine is none."""
    assert location_of(host, extra) == location


def test_outside_needs_a_switch():
    assert allowed_location("model", OUTSIDE, {"outside_allowed": True}) == "outside"
    assert allowed_location("model", "http://127.0.0.1/v1") == "local"
    for extra in ({}, {"outside_allowed": False}, {"outside_allowed": None}):
        with pytest.raises(
            ConfigurationError, match=r"provider\.example is outside.*outside_allowed"
        ):
            allowed_location("model", OUTSIDE, extra)


@pytest.mark.parametrize("name", ["is_local", "outside_allowed"])
def test_a_switch_in_quotes_is_none(name):
    """``"false"`` would be true."""
    with pytest.raises(ConfigurationError, match=name):
        allowed_location("model", OUTSIDE, {name: "false"})


def test_the_model_that_drafts_asks_nobody_outside_by_itself():
    with pytest.raises(ConfigurationError, match="outside the house"):
        ChatModel(OUTSIDE, "m")
    assert ChatModel(OUTSIDE, "m", outside_allowed=True)
    assert ChatModel("http://models.town.example/v1", "m", is_local=True)
    assert ChatModel("http://127.0.0.1/v1", "m")


def test_the_engine_that_embeds_keeps_its_rule_unless_told():
    """It is sent anonymised papers, which are public; ``outside_allowed: false`` refuses even that."""
    assert not OpenAICompatibleEngine(OUTSIDE, "m", 4).is_local
    with pytest.raises(ConfigurationError, match="outside the house"):
        OpenAICompatibleEngine(OUTSIDE, "m", 4, outside_allowed=False)
    assert OpenAICompatibleEngine("http://127.0.0.1/v1", "m", 4, outside_allowed=False).is_local
