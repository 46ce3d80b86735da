"""From an Airflow connection to an adapter: the ledger, endpoints, models, sites, webhooks.

May import Airflow, ``include``, ``participation.ledger`` and the client libraries; what loads a library is
imported inside a task. Neighbours: task functions and operators ask here, and name no address themselves.
"""
