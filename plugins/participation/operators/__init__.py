"""Operators: only where a task needs a link, a template or a person; all other tasks are functions.

May import Airflow and the ``*_tasks`` modules, which do the work. Neighbours: DAG files use them, and the
plugin shows their links.
"""
