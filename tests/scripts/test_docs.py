"""What the pages of the documentation tell somebody to type or to copy."""

import json
import re
import shlex
import time
from pathlib import Path

import pytest

import make
from include.contributions.model import Record
from include.ports import SourceFile
from include.signing import new_secret, signed_headers

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
ROLES = ("operator.md", "moderation.md", "developer.md", "api.md")


def python_of(page, word):
    """Return the names that the page's Python block with a word in it defines."""
    text = (PROJECT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^( *)```python\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    (code,) = [
        re.sub(f"^{indent}", "", block, flags=re.MULTILINE)
        for indent, block in blocks
        if word in block
    ]
    names = {}
    exec(code, names)  # noqa: S102 - our own documentation
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """Each link to a file of the project names one that is there."""
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_role_has_its_page_in_the_readme():
    """Operator, moderator, developer, partner: one row each."""
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")

    for page in ROLES:
        assert re.search(rf"^\| .*\(docs/{page}\)", readme, re.MULTILINE), page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_has_the_verbs_that_are_named(page):
    """A command that was renamed is renamed here too."""
    text = page.read_text(encoding="utf-8")
    named = re.findall(
        r"^(?:STATE=\S+ )?make ([a-z-]+)|`(?:STATE=\S+ )?make ([a-z-]+)", text, re.MULTILINE
    )

    assert {first or second for first, second in named} <= {"help", *make.VERBS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_bodies_that_are_sent_are_json(page):
    """What a shell hands to ``curl -d`` within one pair of quotes."""
    text = page.read_text(encoding="utf-8")
    bodies = re.findall(r"-d ('\{[^']*\}')", text)

    for body in bodies:
        json.loads(shlex.split(body)[0])


def test_the_source_of_the_developer_s_page_reads_its_letter(tmp_path):
    """The class of the page, as it stands there."""
    source = python_of("developer.md", "LetterSource")["LetterSource"]()
    path = tmp_path / "mairie.lettre"
    path.write_text("12 janvier 2026\nLe banc du quai est cassé.\n", encoding="utf-8")
    file = SourceFile(path, "mairie.lettre", "0" * 64, 1, source.form, "utf-8")

    (record,) = source.records(file)

    assert source.recognises(path, "")
    assert isinstance(record, Record)
    assert str(record.submitted_on) == "2026-01-12"
    assert record.constat_factuel.strip() == "Le banc du quai est cassé."


def test_the_partner_s_check_of_a_signature_holds(monkeypatch):
    """What we sign passes; another body, another secret and an old letter do not."""
    is_ours = python_of("api.md", "def is_ours")["is_ours"]
    secret, now = new_secret(), int(time.time())
    headers = signed_headers(secret, "e-1", b'{"id": "e-1"}', now)

    assert is_ours(secret, headers, b'{"id": "e-1"}')
    assert not is_ours(secret, headers, b'{"id": "e-2"}')
    assert not is_ours(new_secret(), headers, b'{"id": "e-1"}')
    monkeypatch.setattr(time, "time", lambda: now + 600)
    assert not is_ours(secret, headers, b'{"id": "e-1"}')
