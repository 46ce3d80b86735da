"""The name under which every component of one machine knows itself, for ``hostname_callable``.

A laptop changes its network name while tasks run, and asking the network for it can take seconds;
Airflow would take the new name for another machine and give up the task.
"""


def hostname() -> str:
    """Where the log server of this machine listens."""
    return "localhost"
