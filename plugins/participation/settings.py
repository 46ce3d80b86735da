"""The one place that reads the environment."""

from contextlib import suppress
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from include.errors import ConfigurationError

PROJECT = Path(__file__).parents[2]

EMBEDDINGS_CONN_ID = "participation_embeddings"
LLM_CONN_ID = "participation_llm"
"""Both named here, where no Airflow is loaded: ``make search`` and ``make run`` ask for them too."""


class Settings(BaseSettings):
    """Where this installation reads and writes; each field is ``PARTICIPATION_<NAME>``.

    Secrets and addresses are Airflow connections (``participation_db``), never settings.
    """

    model_config = SettingsConfigDict(env_prefix="PARTICIPATION_", frozen=True)

    municipality: str = "audierne-esquibien"
    """Folder of ``include/data`` that holds the town's charter, categories and words."""

    inbox: Path = PROJECT / "include" / "samples"
    """Folder whose files are loaded; a DAG parameter may name a folder inside it, never outside."""

    documents: Path = PROJECT / "state" / "documents"
    """Folder that keeps the bytes of documents, each under its hash."""

    datasets: str = str(PROJECT / "state" / "datasets")
    """Where datasets are written: a folder, or the address of an object store (``s3://...``)."""

    datasets_take_citizens_words: bool = False
    """Whether an object store may hold decided contributions too. They are not anonymised: say yes
    only where the store is the town's own. A folder always holds them."""

    reports: Path = PROJECT / "state" / "reports"
    """Folder that the daily reports are written to and served from."""

    name_recogniser: str = ""
    """A stronger recogniser of names for what leaves the house, such as ``spacy:fr_core_news_lg``; it must
    be installed, nothing is downloaded. Empty: the rules alone."""

    llm_pool: str = "default_pool"
    """Airflow pool of the tasks that may ask a language model. ``make run`` and compose make one of
    their own, whose slots an operator may lower; a pool that is not there would hold tasks for ever."""

    api_burst: int = Field(default=300, ge=1)
    """Requests that one user may send to the REST API at once, by process of the API server."""

    api_per_second: float = Field(default=100.0, gt=0)
    """Requests per second that one user may keep up."""

    workflows: Path = PROJECT / "include" / "workflows"
    """Folder of the named workflows' definitions, one YAML file each."""

    workflow_hosts: str = ""
    """Hosts that a named workflow may call, with commas between, such as ``api.example.org``; a host on
    another port than that of the web with it (``127.0.0.1:8080``). None by default."""

    alert_mail: str = ""
    """Who is mailed that a run failed or is late, with commas between; by the connection
    ``participation_smtp``. Nobody by default."""

    @property
    def alert_addresses(self) -> tuple[str, ...]:
        """Who is mailed.

        >>> Settings(alert_mail="a@example.org, b@example.org").alert_addresses
        ('a@example.org', 'b@example.org')
        """
        return tuple(each.strip() for each in self.alert_mail.split(",") if each.strip())

    @property
    def hosts_of_workflows(self) -> frozenset[str]:
        """The hosts that a named workflow may call.

        >>> sorted(Settings(workflow_hosts="api.example.org, 127.0.0.1:8080").hosts_of_workflows)
        ['127.0.0.1:8080', 'api.example.org']
        """
        return frozenset(
            host.strip().lower() for host in self.workflow_hosts.split(",") if host.strip()
        )

    @property
    def may_write_citizens_words(self) -> bool:
        """Whether what is written to ``datasets`` stays in the house.

        >>> Settings(datasets="s3://town/datasets").may_write_citizens_words
        False
        """
        scheme, is_address, _ = self.datasets.partition("://")
        is_folder = not is_address or scheme in {"file", "local"}
        return is_folder or self.datasets_take_citizens_words

    def inside_inbox(self, folder: str | None) -> Path:
        """Name a folder or file of the inbox; without one the inbox itself.

        Raises:
            ConfigurationError: It lies outside, or is no path at all.
        """
        root = self.inbox.resolve()
        try:
            wanted = (root / folder).resolve() if folder else root
            with suppress(FileNotFoundError):  # whoever reads it says that it is not there
                wanted.stat()
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL, a long name
            raise ConfigurationError(
                f"folder {folder!r} is no path in the inbox {root} ({error}): name a folder inside it"
            ) from error
        if wanted != root and root not in wanted.parents:
            raise ConfigurationError(
                f"folder {folder!r} lies outside the inbox {root}: name a folder inside it, "
                "or change PARTICIPATION_INBOX"
            )
        return wanted
