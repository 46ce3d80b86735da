"""The ledger in PostgreSQL: the ports of ``include.ports`` answered with psycopg 3.

Nothing here imports Airflow, so that a script, a test and a benchmark use the same code as a task.
"""
