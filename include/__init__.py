"""The domain: what participation means, in plain Python.

Nothing here imports Airflow, a database driver or a web framework; the outside comes in through
the protocols of :mod:`include.ports`. Neighbours: ``participation`` (``plugins/``) implements the
ports, ``dags/`` says in which order the steps run.
"""
