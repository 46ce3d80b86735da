"""The building blocks of a workflow: processors, composed once, run anywhere with equal results.

Neighbours: :mod:`include.contributions` supplies processors; the Airflow side runs the same ones
over chunks. Nothing here knows what an item is.

Named workflows compose the same way from a YAML file: ``definition`` reads and checks one, ``course``
says what happens in a run of it.
"""
