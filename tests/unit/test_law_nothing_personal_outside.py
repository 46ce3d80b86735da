"""Law 7: nothing personal goes outside before anonymisation, and a failed anonymisation stops the call."""

import pytest

from include.anonymisation import AnonymisationError
from include.contributions.reviewer import embedded_reviewer
from include.documents import chat, drafting
from include.documents.chat import ChatModel
from include.documents.embedding import openai_compatible
from include.documents.embedding.openai_compatible import OpenAICompatibleEngine
from include.errors import ConfigurationError, UnreadableAnswerError

OUTSIDE = "https://provider.example/v1"
TEXT = (
    "Mme Aziliz Kergouzien, 14 rue des Cormorans, 29770 Audierne, 06 11 22 33 44, "
    "aziliz (at) exemple (point) fr, née le 12/03/1957, AB-123-CD, veut un banc."
)
PERSONAL = ("Kergouzien", "Cormorans", "29770", "06 11", "exemple", "1957", "AB-123")


class Recogniser:
    """Fails."""

    name = "broken-1"

    def names(self, text):
        raise RuntimeError("no memory")


@pytest.fixture
def sent(monkeypatch):
    """What is handed to the network; every answer is one that nobody can read."""
    texts = []

    def post(_url, question, **_options):
        texts.append(str(question))
        raise UnreadableAnswerError("enough seen")

    monkeypatch.setattr(chat, "post_json", post)
    monkeypatch.setattr(openai_compatible, "post_json", post)
    return texts


def draft(recogniser=None):
    model = ChatModel(OUTSIDE, "m", outside_allowed=True, deadline_s=0.1)
    return drafting.draft(model, [TEXT], ["banc"], 1, embedded_reviewer(), recogniser=recogniser)


def embed():
    return OpenAICompatibleEngine(OUTSIDE, "m", 4, deadline_s=0.1).embed_documents([TEXT])


@pytest.mark.parametrize("call", [draft, embed])
def test_what_goes_outside_names_nobody(sent, call):
    with pytest.raises(UnreadableAnswerError):
        call()

    assert sent
    assert all("banc" in each for each in sent)
    assert not [part for part in PERSONAL for each in sent if part in each]


def test_a_failed_anonymisation_stops_the_call(sent):
    with pytest.raises(AnonymisationError):
        draft(Recogniser())
    with pytest.raises(AnonymisationError):
        OpenAICompatibleEngine(OUTSIDE, "m", 4).embed_documents(["half a character: \ud83d"])

    assert sent == []


def test_a_model_outside_is_asked_nothing_without_the_switch(sent):
    with pytest.raises(ConfigurationError, match="outside_allowed"):
        ChatModel(OUTSIDE, "m")

    assert sent == []
