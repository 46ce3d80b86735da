# The project in the versions locked in requirements.txt, owned by root and run by somebody else.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONPATH=/opt/participation:/opt/participation/plugins \
    AIRFLOW_HOME=/var/lib/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/participation/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/participation/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__LOGGING__BASE_LOG_FOLDER=/var/log/airflow \
    OMP_THREAD_LIMIT=1

# Reads scanned pages; a process per page, so its own threads would only cost (OMP_THREAD_LIMIT above).
# PDFium comes inside its wheel and needs nothing that this image lacks.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tesseract-ocr tesseract-ocr-fra \
    && rm -rf /var/lib/apt/lists/*

# Group 0 may write where the service writes, so that any user id with group 0 can run the image.
# New named volumes take the owner and mode of these folders.
RUN useradd --uid 50000 --gid 0 --no-create-home --home-dir /var/lib/airflow airflow \
    && install -d -o airflow -g 0 -m 0775 \
        /var/lib/airflow /var/log/airflow \
        /data/inbox /data/reports /data/documents /data/datasets

# What the product needs, without the tools of a clone, each package in the version of the one lock.
COPY requirements.in requirements.txt /tmp/
RUN pip install --no-cache-dir --disable-pip-version-check \
        --constraint /tmp/requirements.txt --requirement /tmp/requirements.in \
    && pip check

WORKDIR /opt/participation
COPY scripts/healthcheck.py scripts/
COPY include include
COPY plugins plugins
COPY dags dags
RUN python -m compileall -q include plugins dags scripts

USER 50000:0
EXPOSE 8080
CMD ["airflow", "version"]
