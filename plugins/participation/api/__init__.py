"""What a browser or a caller asks the API server; every route needs a login and a permission.

May import FastAPI, ``airflow.api_fastapi``, ``include``, and of ``participation`` the ledger, the hooks and
the definitions of workflows; it runs no task. Neighbours: the templates of ``include`` are filled here, the
REST API is ``v1``.
"""
