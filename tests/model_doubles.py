"""A language model in this process, and a place for its answers, for tests without a network."""

import json
import threading
import time

from include.contributions.model_asking import Asking
from include.contributions.model_reviewer import ModelReviewer
from include.contributions.reviewer import embedded_reviewer
from include.municipality import load_municipality
from include.ports import Reply
from tests.stub_provider import opinion

TOWN = load_municipality()


class ScriptedModel:
    """Answers with what a function makes of the data of a question: words, a mapping or an error."""

    def __init__(self, answer=opinion, name="house/small", concurrency=4):
        self.answer = answer
        self.name = name
        self.parameters = "1500/native"
        self.is_outside = False
        self.concurrency = concurrency
        self.asked = []
        self.closed = False

    async def ask(self, question):
        self.asked.append(question)
        said = self.answer(question.data)
        if isinstance(said, BaseException):
            raise said
        if isinstance(said, Reply):
            return said
        words = said if isinstance(said, str) else json.dumps(said)
        return Reply(words, "answered", "house", "small-2026", 100, 20, 0.001)

    async def close(self):
        self.closed = True


class KeptAnswers:
    """Keeps answers in memory."""

    def __init__(self):
        self.replies = {}

    def kept(self, key):
        return self.replies.get(key)

    def keep(self, key, reply):
        self.replies.setdefault(key, reply)

    def close(self):
        pass


def reviewer_with(answer=opinion, *, model=None, store=None, **options):
    """Build a model reviewer on doubles; what was asked is in ``reviewer.asking.model.asked``."""
    asking = Asking(model or ScriptedModel(answer), store or KeptAnswers())
    return ModelReviewer(embedded_reviewer(), TOWN, asking, **options)


def wait_until(condition, limit_s=5.0):
    """Wait for something that another thread does."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        threading.Event().wait(0.005)
