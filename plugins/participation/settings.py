"""The one place that reads the environment."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT = Path(__file__).parents[2]


class Settings(BaseSettings):
    """Where this installation reads and writes; each field is ``PARTICIPATION_<NAME>``.

    Secrets and addresses are Airflow connections (``participation_db``), never settings.
    """

    model_config = SettingsConfigDict(env_prefix="PARTICIPATION_", frozen=True)

    municipality: str = "audierne-esquibien"
    """Folder of ``include/data`` that holds the town's charter, categories and words."""

    inbox: Path = PROJECT / "include" / "samples"
    """Folder whose files are loaded; a DAG parameter may name a folder inside it, never outside."""

    reports: Path = PROJECT / "state" / "reports"
    """Folder that the daily reports are written to and served from."""
