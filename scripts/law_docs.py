"""Write the tests and the mutations of each law into ``docs/laws.md``, from the list that is really tried.

``python scripts/law_docs.py`` writes them; with ``--check`` it only says whether the page is current.
"""

import re
import sys
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "laws.md"
MUTATIONS = PROJECT / "tests" / "mutations.yaml"

TABLE = re.compile(r"(?<=\| law \| shown by \| mutations: without the guard … \|\n)(?:\|.*\n)+")
ROW = re.compile(r"(?m)^\| (\d+) \|.*$")


def written(page: str, mutations: str) -> str:
    r"""The page with its second table as the list of mutations has it.

    >>> head = "| law | shown by | mutations: without the guard … |\n|---|---|---|\n"
    >>> mutations = "[{law: 1, what: all is lost, tests: ['tests/unit/test_x.py::test_it']}]"
    >>> print(written(head + "| 1 | old | old |\n", mutations).splitlines()[-1])
    | 1 | `unit/test_x.py` | all is lost |

    Raises:
        ValueError: A law has a row and no mutation, or a mutation and no row.
    """
    removed: dict[str, list[str]] = {}
    tests: dict[str, list[str]] = {}
    for entry in yaml.safe_load(mutations):
        law = str(entry["law"])
        removed.setdefault(law, []).append(entry["what"])
        files = (f"`{name.partition('::')[0].removeprefix('tests/')}`" for name in entry["tests"])
        tests.setdefault(law, []).extend(files)
    table = TABLE.search(page)
    rows = {match[1] for match in ROW.finditer(table[0])} if table else set()
    if not table or rows != set(removed):
        raise ValueError(f"laws in the page: {sorted(rows)}, in the list: {sorted(removed)}")
    current = ROW.sub(
        lambda row: (
            f"| {row[1]} | {', '.join(dict.fromkeys(tests[row[1]]))}"
            f" | {'; '.join(removed[row[1]])} |"
        ),
        table[0],
    )
    return page[: table.start()] + current + page[table.end() :]


def main(arguments: list[str]) -> int:
    """Write or check the page; 1 when it is not current."""
    page = PAGE.read_text(encoding="utf-8")
    current = written(page, MUTATIONS.read_text(encoding="utf-8"))
    if "--check" in arguments:
        return 0 if page == current else 1
    PAGE.write_text(current, encoding="utf-8")
    print(f"wrote {PAGE.relative_to(PROJECT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
