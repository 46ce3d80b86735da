"""Issues and discussions: from pages written here to records, and from every refusal to its error."""

import json
from datetime import date

import pytest

from include.contributions.model import BrokenRecord, Category, Record, declared
from include.contributions.sources.github import read_discussions, read_issues
from include.documents.addresses import AddressGuard
from include.documents.sources.client import GuardedClient
from include.errors import (
    ConfigurationError,
    ProviderRefusedError,
    ProviderUnavailableError,
    UnreadableAnswerError,
)
from include.ports import WebAnswer
from tests.stub_site import in_turn, page, running

REPOSITORY = "ville/contributions"
FORM = (
    "### Catégorie\n\nLogement\n\n### Constat factuel\n\nLe trottoir est cassé.\n\n"
    "### Vos idées d'améliorations\n\nLe refaire avant l'été.\n"
)


def issue(number, **changes):
    return {
        "number": number,
        "title": f"Sujet {number}",
        "body": "Le banc du port est cassé.",
        "html_url": f"https://github.com/{REPOSITORY}/issues/{number}",
        "created_at": "2026-01-19T23:30:00Z",
        "user": {"login": "jeanne-le-gall", "id": 7},
        "labels": [],
        **changes,
    }


class Pages:
    """Answers in turn, and notes what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def ask(self, url, headers=None, body=None):
        self.asked.append((url, dict(headers or {}), body))
        return self.answers.pop(0)


def answer(value, status=200, **headers):
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    names = {name.replace("_", "-"): text for name, text in headers.items()}
    return WebAnswer(status, "https://api.github.com/", names, content)


def next_page(number):
    url = f"https://api.github.com/repositories/1/issues?page={number}"
    return f'<{url}>; rel="next", <https://api.github.com/x?page=9>; rel="last"'


def test_an_issue_becomes_a_record_without_its_author():
    client = Pages(answer([issue(12, labels=[{"name": "économie"}, {"name": "bug"}])]))

    [record] = read_issues(client, REPOSITORY).records

    assert record == Record(
        source="github-ville-contributions",
        external_id="issue-12",
        constat_factuel="Sujet 12\n\nLe banc du port est cassé.",
        idees_ameliorations="",
        declared_category="economie",
        submitted_on=date(2026, 1, 20),
        locator="issue 12",
        metadata={
            "kind": "issue",
            "url": f"https://github.com/{REPOSITORY}/issues/12",
            "submitted_at": "2026-01-19T23:30:00Z",
        },
    )
    assert "jeanne" not in repr(record)


def test_the_form_of_the_town_is_read_by_its_headings():
    empty = FORM.replace("Le refaire avant l'été.", "_No response_")
    bold = "**Constat factuel :**\nLe trottoir est cassé.\n\n**Vos idées d'améliorations :**\nLe refaire."
    client = Pages(answer([issue(1, body=FORM), issue(2, body=empty), issue(3, body=bold)]))

    form, unanswered, by_mail = read_issues(client, REPOSITORY).records

    assert form.constat_factuel == "Sujet 1\n\nLe trottoir est cassé."
    assert form.idees_ameliorations == "Le refaire avant l'été."
    assert declared(form.declared_category) is Category.LOGEMENT
    assert unanswered.idees_ameliorations == ""
    assert by_mail.idees_ameliorations == "Le refaire."


@pytest.mark.parametrize(
    "body", [f"Bonjour.\n\n{FORM}", f"{FORM}\n### Autre\n\nDu texte.", f"{FORM}\n{FORM}"]
)
def test_words_under_other_headings_are_never_lost(body):
    [record] = read_issues(Pages(answer([issue(1, body=body)])), REPOSITORY).records

    assert record.constat_factuel == f"Sujet 1\n\n{body}"


@pytest.mark.parametrize(
    ("labels", "category"),
    [
        (["bug", "à trier"], None),
        (["Écologie"], "ecologie"),
        (["catégorie: jeunesse"], "jeunesse"),
        (["category/Alimentation, bien-être et soins"], "alimentation-bien-etre-soins"),
        (["culture", "Culture"], "culture"),
        (["culture", "economie"], None),
    ],
)
def test_a_label_declares_a_category_where_it_names_just_one(labels, category):
    [record] = read_issues(Pages(answer([issue(1, labels=labels)])), REPOSITORY).records

    assert record.declared_category == category


def test_pull_requests_are_left_out_and_every_page_is_read():
    client = Pages(
        answer([issue(3), issue(2, pull_request={"url": "x"})], etag='W/"a"', link=next_page(2)),
        answer([issue(3), issue(1)], etag='"other"'),
    )

    reading = read_issues(client, REPOSITORY)

    assert [record.external_id for record in reading.records] == ["issue-3", "issue-1"]
    assert (reading.marker, reading.unchanged) == ('W/"a"', False)
    assert [url.partition("?")[2] for url, _, _ in client.asked] == [
        "state=all&sort=updated&direction=desc&per_page=100",
        "page=2",
    ]


def test_an_unchanged_repository_costs_one_request():
    client = Pages(answer(b"", 304))

    reading = read_issues(client, REPOSITORY, marker='"a"')

    assert (reading.unchanged, reading.marker, reading.records) == (True, '"a"', ())
    assert client.asked[0][1]["If-None-Match"] == '"a"'


def test_only_the_first_page_is_asked_for_conditionally():
    client = Pages(answer([issue(2)], link=next_page(2)), answer([issue(1)]))

    read_issues(client, REPOSITORY, marker='"a"')

    assert "If-None-Match" not in client.asked[1][1]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"title": "", "body": None}, "no_text"),
        ({"body": ["x"]}, "wrong_type"),
        ({"body": "x" * 70_000}, "too_long"),
    ],
)
def test_an_issue_that_cannot_be_used_stands_alone(changes, reason):
    broken, sound = read_issues(Pages(answer([issue(2, **changes), issue(1)])), REPOSITORY).records

    assert isinstance(broken, BrokenRecord)
    assert (broken.reason, broken.locator) == (reason, "issue 2")
    assert isinstance(sound, Record)


def test_an_entry_that_is_no_object_and_a_hostile_text():
    odd, hostile = read_issues(
        Pages(
            answer([7, issue(1, title="Un\0 banc", body="\ud800 cassé", html_url="javascript:x")])
        ),
        REPOSITORY,
    ).records

    assert odd.reason == "wrong_type"
    assert hostile.constat_factuel == "Un� banc\n\n� cassé"
    assert "url" not in hostile.metadata


@pytest.mark.parametrize(
    ("status", "headers", "content", "wait_s"),
    [
        (429, {"retry_after": "30"}, b"", 30),
        (403, {"retry_after": "60"}, b"", 60),
        (403, {"retry_after": "Sun, 01 Feb 2015 12:00:00 GMT"}, b"", 0),
        (
            403,
            {
                "x_ratelimit_remaining": "0",
                "x_ratelimit_reset": "1769947320",
                "date": "Sun, 01 Feb 2026 12:00:00 GMT",
            },
            b"",
            121,
        ),
        (403, {}, b'{"message": "You have exceeded a secondary rate limit"}', 60),
        (429, {}, b"", 60),
        (429, {"retry_after": "9" * 300}, b"", 86_400),
        (403, {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "9" * 12}, b"", 86_400),
        (403, {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "9" * 400}, b"", 86_400),
        (
            403,
            {
                "x_ratelimit_remaining": "0",
                "x_ratelimit_reset": "1",
                "date": f"Sun, 01 Feb {'9' * 30} 12:00:00 GMT",
            },
            b"",
            1,
        ),
        (502, {}, b"", None),
    ],
)
def test_a_limit_says_when_to_come_back(status, headers, content, wait_s):
    client = Pages(answer([issue(1)], link=next_page(2)), answer(content, status, **headers))

    with pytest.raises(ProviderUnavailableError) as error:
        read_issues(client, REPOSITORY)

    assert error.value.retry_after_s == wait_s


@pytest.mark.parametrize("status", [401, 403, 404, 410, 422])
def test_a_refusal_is_for_a_person(status):
    with pytest.raises(ProviderRefusedError, match=f"status {status}"):
        read_issues(Pages(answer(b"{}", status)), REPOSITORY)


@pytest.mark.parametrize("content", [b"<html>", b"{}", b"[" * 100_000])
def test_an_answer_that_is_no_list_of_issues(content):
    with pytest.raises(UnreadableAnswerError):
        read_issues(Pages(answer(content)), REPOSITORY)


def test_the_next_page_is_never_asked_of_another_site():
    elsewhere = '<https://evil.example/page2>; rel="next"'
    client = Pages(answer([issue(1)], link=elsewhere))

    with pytest.raises(UnreadableAnswerError, match="another site"):
        read_issues(client, REPOSITORY)

    assert len(client.asked) == 1


def test_a_next_page_that_is_no_address_is_an_unreadable_answer():
    with pytest.raises(UnreadableAnswerError, match="no address"):
        read_issues(Pages(answer([issue(1)], link='<https://[::1/x>; rel="next"')), REPOSITORY)


def test_an_entry_whose_address_is_none_is_read():
    reading = read_issues(Pages(answer([issue(1, html_url="http://[::1/x")])), REPOSITORY)

    assert "url" not in reading.records[0].metadata


@pytest.mark.parametrize("name", ["ville", "ville/x/y", "../x", "ville/x?y", "ville/ x", ""])
def test_a_name_that_is_no_repository(name):
    with pytest.raises(ConfigurationError, match="owner/name"):
        read_issues(Pages(), name)


def discussion(number, **changes):
    return {
        "number": number,
        "title": f"Débat {number}",
        "body": "Et le marché du samedi ?",
        "url": f"https://github.com/{REPOSITORY}/discussions/{number}",
        "createdAt": "2026-01-19T10:00:00Z",
        "updatedAt": "2026-01-20T10:00:00Z",
        "category": {"name": "Économie"},
        "labels": {"nodes": []},
        **changes,
    }


def discussions(*nodes, cursor=None, total=None):
    info = {"hasNextPage": cursor is not None, "endCursor": cursor}
    found = {"totalCount": total or len(nodes), "pageInfo": info, "nodes": list(nodes)}
    return {"data": {"repository": {"discussions": found}}}


def test_discussions_are_read_page_by_page():
    client = Pages(
        answer(discussions(discussion(9), cursor="c1", total=2)),
        answer(discussions(discussion(9), discussion(8, category=None), total=2)),
    )

    reading = read_discussions(client, REPOSITORY)

    first, second = reading.records
    assert (first.external_id, first.declared_category) == ("discussion-9", "economie")
    assert (second.external_id, second.declared_category) == ("discussion-8", None)
    assert first.submitted_on == date(2026, 1, 19)
    assert [body["variables"]["cursor"] for _, _, body in client.asked] == [None, "c1"]
    assert "author" not in client.asked[0][2]["query"]


def test_unchanged_discussions_cost_one_request_and_a_change_is_seen():
    first = answer(discussions(discussion(9), total=60, cursor="c1"))
    marker = "60:9:2026-01-20T10:00:00Z"

    assert read_discussions(Pages(first), REPOSITORY, marker).unchanged
    changed = discussion(9, updatedAt="2026-01-21T10:00:00Z")
    client = Pages(answer(discussions(changed)))
    assert not read_discussions(client, REPOSITORY, marker).unchanged


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"errors": [{"type": "RATE_LIMITED"}]}, ProviderUnavailableError),
        ({"data": {"repository": None}, "errors": [{"type": "NOT_FOUND"}]}, ProviderRefusedError),
        ({"data": {"repository": None}}, UnreadableAnswerError),
        ({"errors": [{"message": "timeout"}]}, UnreadableAnswerError),
        ({"data": {"repository": {"discussions": {"nodes": None}}}}, UnreadableAnswerError),
        ([], UnreadableAnswerError),
    ],
)
def test_errors_inside_an_answer(value, error):
    with pytest.raises(error):
        read_discussions(Pages(answer(value)), REPOSITORY)


def test_an_unreadable_answer_is_told_without_a_citizens_words():
    """Errors stand in logs and in the UI; a text belongs into neither."""
    value = {
        "data": {"repository": {"discussions": {"nodes": [discussion(9)]}}},
        "errors": [{"type": "TIMEOUT", "message": "Et le marché du samedi ?"}],
        "Et le marché du samedi ?": 1,
    }

    with pytest.raises(UnreadableAnswerError) as error:
        read_discussions(Pages(answer(value)), REPOSITORY)

    assert str(error.value).endswith("a dict with data, errors; errors of type TIMEOUT")


def test_a_cursor_that_leads_nowhere_is_not_followed_for_ever():
    pages = [answer(discussions(discussion(n), cursor="same")) for n in (1, 2, 3)]

    with pytest.raises(UnreadableAnswerError, match="leads nowhere"):
        read_discussions(Pages(*pages), REPOSITORY)


def test_against_a_site_with_the_real_client():
    """The paging, the condition and the body as they go over the wire."""
    with running() as site:
        api = site.url("")
        link = f'<{api}/repos/{REPOSITORY}/issues?page=2>; rel="next"'
        site.pages[f"/repos/{REPOSITORY}/issues"] = in_turn(
            page(json.dumps([issue(2)]).encode(), ETag='"a"', Link=link),
            page(json.dumps([issue(1)]).encode()),
            page(b"", 304),
        )
        site.pages["/graphql"] = page(json.dumps(discussions(discussion(9))).encode())
        client = GuardedClient(AddressGuard(allowed=[site.endpoint]))

        reading = read_issues(client, REPOSITORY, api=api)
        again = read_issues(client, REPOSITORY, reading.marker, api=api)
        debates = read_discussions(client, REPOSITORY, graphql=f"{api}/graphql")

    assert [record.external_id for record in reading.records] == ["issue-2", "issue-1"]
    assert (reading.marker, again.unchanged) == ('"a"', True)
    assert [seen.headers.get("if-none-match") for seen in site.seen] == [None, None, '"a"', None]
    assert json.loads(site.seen[-1].body)["variables"]["owner"] == "ville"
    assert len(debates.records) == 1
