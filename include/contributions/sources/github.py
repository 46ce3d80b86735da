"""Issues and discussions of a GitHub repository, as contributions.

A citizen opens one with a title and a text, with or without the headings of the town's form. What
is read is asked for once when nothing changed: issues by the ``ETag`` of the page with the latest
changes, discussions by their number and their latest change. Who wrote is neither asked for nor
kept: a record holds the words, the number, the address and the day. Pull requests are no
contributions.

A reading is whole or an error; nothing is handed over of one that broke off.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, get_args

from include.contributions.model import BrokenRecord, Record, declared
from include.contributions.sources.boundary import Entry, admitted, broken
from include.contributions.sources.fields import folded_label
from include.contributions.sources.github_answers import (
    decoded_answer,
    discussions_of,
    latest_change,
    next_page,
)
from include.errors import ConfigurationError, UnreadableAnswerError
from include.ports import WebClient

API = "https://api.github.com"

MAX_PAGES = 200
"""Twenty thousand issues; a town's repository with more is one to be asked about."""

PAGE_SIZE = 100
DISCUSSIONS_PAGE_SIZE = 50

Kind = Literal["issues", "discussions"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_ACCEPT = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}")
_HEADING = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]+(?P<marked>[^\n]+?)[ \t]*#*|\*\*(?P<bold>[^*\n]+)\*\*[ \t]*:?)[ \t]*$",
    re.MULTILINE,
)
_CONSTAT = ("constat factuel", "votre constat factuel", "constat")
_IDEES = ("vos idees d ameliorations", "idees d ameliorations", "vos idees d amelioration", "idees")
_CATEGORY = ("categorie", "category", "thematique")
_FIELDS = frozenset(_CONSTAT + _IDEES + _CATEGORY)
_NO_RESPONSE = "_No response_"
"""What GitHub's forms write where somebody left a field empty."""

_DISCUSSIONS = """\
query($owner: String!, $name: String!, $size: Int!, $cursor: String) {
  repository(owner: $owner, name: $name) {
    discussions(first: $size, after: $cursor, orderBy: {field: UPDATED_AT, direction: DESC}) {
      totalCount
      pageInfo { hasNextPage endCursor }
      nodes {
        number url title body createdAt updatedAt
        category { name }
        labels(first: 20) { nodes { name } }
      }
    }
  }
}"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reading gave.

    Attributes:
        records: In the order of GitHub, latest change first; empty when nothing changed.
        marker: To be noted, and given to the next reading; None when the site offers none.
        unchanged: Nothing changed since the reading whose marker was given.
    """

    records: tuple[Record | BrokenRecord, ...]
    marker: str | None
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """One kind of entries of one repository."""

    repository: str
    kind: Kind

    def uri(self, api: str) -> str:
        """Name it for the ledger; no address that is asked."""
        return f"{api.rstrip('/')}/repos/{self.repository}/{self.kind}"

    def read(self, client: WebClient, api: str, marker: str | None) -> Reading:
        """Read it whole; arguments and errors as for :func:`read_issues`."""
        if self.kind == "issues":
            return read_issues(client, self.repository, marker, api)
        return read_discussions(client, self.repository, marker, _graphql(api))


def wanted(options: Mapping[str, Any]) -> tuple[Wanted, ...]:
    """Read from a connection's extra what is to be read, each once.

    ``repository`` is one name or a list of them, ``kinds`` a list; without it only issues are read,
    because discussions cannot be asked for without a token.

    Raises:
        ConfigurationError: A name is none, or a kind is unknown.

    >>> wanted({"repository": "ville/idees"})
    (Wanted(repository='ville/idees', kind='issues'),)
    """
    named, kinds = options.get("repository"), options.get("kinds", ["issues"])
    repositories = [named] if isinstance(named, str) else named
    if not isinstance(repositories, list) or not repositories or not isinstance(kinds, list):
        raise ConfigurationError(
            'write the repositories as {"repository": "owner/name", "kinds": ["issues"]}'
        )
    if not kinds or not set(map(str, kinds)) <= set(KINDS):
        raise ConfigurationError(f"kinds {kinds!r}: choose from {', '.join(KINDS)}")
    for repository in repositories:
        _source(str(repository))
    return tuple(dict.fromkeys(Wanted(each, kind) for each in repositories for kind in kinds))


def read_issues(
    client: WebClient, repository: str, marker: str | None = None, api: str = API
) -> Reading:
    """Read every issue of a repository, open or closed.

    Args:
        client: Asks, with the connection's token.
        repository: ``owner/name``.
        marker: Of the last reading that was stored.
        api: Where the REST interface is; another one for an installation of one's own.

    Raises:
        ProviderUnavailableError: GitHub is away, or asks to wait (``retry_after_s``).
        ProviderRefusedError: The token or the repository's name is wrong.
        UnreadableAnswerError: An answer is not what its documentation says.
    """
    source = _source(repository)
    query = f"state=all&sort=updated&direction=desc&per_page={PAGE_SIZE}"
    url: str | None = f"{api.rstrip('/')}/repos/{repository}/issues?{query}"
    records: dict[str, Record | BrokenRecord] = {}
    noted: str | None = None
    for page in range(1, MAX_PAGES + 1):
        asked = {"If-None-Match": marker} if marker and page == 1 else {}
        answer = client.ask(str(url), {**_ACCEPT, **asked})
        if answer.status == HTTPStatus.NOT_MODIFIED and asked:
            return Reading((), marker, unchanged=True)
        items = decoded_answer(answer)
        if not isinstance(items, list):
            raise UnreadableAnswerError(f"{repository}: page {page} of the issues is no list")
        noted = answer.headers.get("etag") if page == 1 else noted
        _add(records, (_issue(source, item) for item in items if not _is_pull_request(item)))
        url = next_page(answer, api)
        if url is None:
            return Reading(tuple(records.values()), noted)
    raise ConfigurationError(
        f"{repository}: more than {MAX_PAGES} pages of issues; not one was taken"
    )


def read_discussions(
    client: WebClient, repository: str, marker: str | None = None, graphql: str = f"{API}/graphql"
) -> Reading:
    """Read every discussion of a repository; arguments and errors as for :func:`read_issues`."""
    source = _source(repository)
    owner, _, name = repository.partition("/")
    variables = {"owner": owner, "name": name, "size": DISCUSSIONS_PAGE_SIZE, "cursor": None}
    records: dict[str, Record | BrokenRecord] = {}
    noted: str | None = None
    for page in range(1, MAX_PAGES + 1):
        body = {"query": _DISCUSSIONS, "variables": variables}
        found = discussions_of(
            client.ask(graphql, {"Accept": "application/json"}, body), repository
        )
        nodes, info = found["nodes"], found["pageInfo"]
        if page == 1:
            noted = latest_change(found.get("totalCount"), nodes)
            if marker is not None and noted == marker:
                return Reading((), marker, unchanged=True)
        _add(records, (_discussion(source, node) for node in nodes))
        if not info.get("hasNextPage"):
            return Reading(tuple(records.values()), noted)
        if info.get("endCursor") in {None, variables["cursor"]}:
            raise UnreadableAnswerError(
                f"{repository}: page {page} of the discussions leads nowhere"
            )
        variables = {**variables, "cursor": info["endCursor"]}
    raise ConfigurationError(
        f"{repository}: more than {MAX_PAGES} pages of discussions; not one was taken"
    )


def _graphql(api: str) -> str:
    """Find the other interface: an installation of one's own has it beside ``/api/v3``."""
    return f"{api.rstrip('/').removesuffix('/v3')}/graphql"


def _source(repository: str) -> str:
    if not _REPOSITORY.fullmatch(repository):
        raise ConfigurationError(f"{repository!r} names no repository: write it as owner/name")
    return f"github-{folded_label(repository).replace(' ', '-')}"


def _add(records: dict[str, Record | BrokenRecord], read: Iterable[Record | BrokenRecord]) -> None:
    # An entry that changes while pages are read moves to the front and shows a neighbour twice.
    for record in read:
        records.setdefault(record.locator, record)


def _is_pull_request(item: Any) -> bool:
    return isinstance(item, Mapping) and item.get("pull_request") is not None


def _issue(source: str, item: Any) -> Record | BrokenRecord:
    if not isinstance(item, Mapping):
        return _not_an_entry("issue", item)
    labels = _names(item.get("labels"))
    return _record(source, "issue", item, item.get("html_url"), item.get("created_at"), labels)


def _discussion(source: str, node: Any) -> Record | BrokenRecord:
    if not isinstance(node, Mapping):
        return _not_an_entry("discussion", node)
    labels = node.get("labels")
    names = _names(labels.get("nodes") if isinstance(labels, Mapping) else None)
    names += _names([node.get("category")])
    return _record(source, "discussion", node, node.get("url"), node.get("createdAt"), names)


def _not_an_entry(kind: str, value: Any) -> BrokenRecord:
    detail = "GitHub n'a pas donné une entrée mais autre chose : la lire sur le site."
    return broken(f"{kind} (?)", "wrong_type", detail, str(value))


def _record(
    source: str,
    kind: str,
    item: Mapping[str, Any],
    url: Any,
    created_at: Any,
    labels: Sequence[str],
) -> Record | BrokenRecord:
    number = item.get("number")
    entry = Entry(f"{kind} {number}", notes={"kind": kind})
    if isinstance(url, str) and url.startswith("https://"):
        entry.notes["url"] = url[:500]
    entry.found["id"] = f"{kind}-{number}"
    entry.found["submitted"] = created_at
    title, body = item.get("title"), item.get("body")
    sections = _sections(body) if isinstance(body, str) else {}
    constat, idees = _of(sections, _CONSTAT), _of(sections, _IDEES)
    if constat or idees:
        entry.found["constat"], entry.found["idees"] = _titled(title, constat), idees
    else:
        entry.found["text"] = _titled(title, body)
    category = _category(labels) or _of(sections, _CATEGORY)
    if category:
        entry.found["category"] = category
    return admitted(source, entry)


def _titled(title: Any, text: Any) -> Any:
    """Put the title before the text: it is the citizen's own words, and is judged with them."""
    if text is not None and not isinstance(text, str):
        return text
    if not isinstance(title, str) or not title.strip():
        return text or ""
    return f"{title}\n\n{text}" if text else title


def _sections(body: str) -> dict[str, str]:
    """Read the fields of a form by their headings; none where words stand under other headings."""
    headings = list(_HEADING.finditer(body))
    if not headings or body[: headings[0].start()].strip():
        return {}
    ends = [heading.start() for heading in headings[1:]] + [len(body)]
    sections: dict[str, str] = {}
    for heading, end in zip(headings, ends, strict=True):
        text = body[heading.end() : end].strip()
        name = folded_label(heading["marked"] or heading["bold"])
        given = "" if text == _NO_RESPONSE else text
        if name in sections or (given and name not in _FIELDS):
            return {}
        sections[name] = given
    return sections


def _of(sections: Mapping[str, str], names: Sequence[str]) -> str:
    return next((sections[name] for name in names if sections.get(name)), "")


def _names(labels: Any) -> list[str]:
    listed = labels if isinstance(labels, list) else []
    found = [label.get("name") if isinstance(label, Mapping) else label for label in listed]
    return [name for name in found if isinstance(name, str)]


def _category(labels: Sequence[str]) -> str | None:
    """Name the one category that labels name; two that differ declare none."""
    named = {declared(re.split(r"[:/]", label)[-1]) for label in labels} - {None}
    return str(named.pop()) if len(named) == 1 else None
