"""Every code that a page may show has its French words: collected from the code that gives them."""

import ast
from pathlib import Path

from include.documents import wording
from include.documents.parsing.sentences import SENTENCES, set_aside

PROJECT = Path(__file__).parents[3]
GIVES_REASONS = {"SetAside", "AddressRefusedError", "NoAnswerError", "UnusableAnswerError"}


def trees(*patterns):
    for pattern in patterns:
        for path in sorted(PROJECT.glob(pattern)):
            yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def reasons():
    """First words of everything in the workflow that says why something is not taken."""
    for node in trees("include/documents/**/*.py"):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in GIVES_REASONS:
            code = node.args[0]
            if isinstance(code, ast.Constant):
                yield code.value


def steps():
    """Names of the steps of the document DAGs: given to ``step_task``, or the function's own."""
    for node in trees("dags/document_*.py", "dags/dataset_creation.py"):
        for decorator in getattr(node, "decorator_list", ()):
            if "step_task" in ast.unparse(decorator):
                given = {
                    each.arg: ast.literal_eval(each.value)
                    for each in getattr(decorator, "keywords", ())
                    if each.arg == "step"
                }
                yield given.get("step", node.name)


def test_every_reason_has_words():
    found = {*reasons(), *(set_aside(code).reason for code in SENTENCES)}

    assert {"refused_address", "not_found", "unreachable", "link_outside", "encrypted"} <= found
    assert found - set(wording.REASONS) == set()


def test_every_step_has_words():
    found = set(steps())

    assert {"find", "plan", "parse", "dataset", "publish", "draft"} <= found
    assert found - set(wording.STEPS) == set()
