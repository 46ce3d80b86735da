"""What citizens write: loading it, holding it against the charter, sorting it, reporting on it.

Neighbours: :mod:`include.processing` composes the steps, :mod:`include.ports` names what they ask of
the world. Nothing here knows a database or Airflow.
"""
