"""From an Airflow connection to an adapter."""
