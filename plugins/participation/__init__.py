"""The Airflow-facing side: adapters, task functions, triggers, callbacks.

May import ``airflow``, ``include`` and drivers. DAG files import from here; nothing here imports ``dags``.
"""
