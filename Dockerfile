# Airflow with the project's DAGs: every service of the stack that is ours. Build from the top of the checkout:
#   docker build -t groundtruth-airflow .
# Steps run in images of their own; this one has neither PyTorch nor a compiler.
FROM python:3.11-slim-bookworm

COPY requirements.txt requirements-stack.txt /opt/groundtruth/
# An older pip does not find the hash of a pinned package that another asks for with an extra.
RUN pip install --no-cache-dir 'pip>=24' \
    && pip install --no-cache-dir \
        -r /opt/groundtruth/requirements.txt -r /opt/groundtruth/requirements-stack.txt
# Packages of a deployment, such as providers and secrets backends: EXTRA_PACKAGES="name==1.0 …" make up. They change no
# version of what is locked.
ARG EXTRA_PACKAGES=""
RUN [ -z "$EXTRA_PACKAGES" ] || { pip freeze > /tmp/locked.txt \
    && pip install --no-cache-dir -c /tmp/locked.txt $EXTRA_PACKAGES && rm /tmp/locked.txt; }
# Airflow's services are the user 50000, its workers the user 50001, both of one group: see tools/stack.py.
RUN useradd --uid 50000 --user-group --home-dir /opt/airflow --no-create-home airflow \
    && useradd --uid 50001 --gid 50000 --home-dir /opt/airflow --no-create-home worker \
    && mkdir -p /opt/airflow/logs /opt/groundtruth/data /opt/groundtruth/config \
    && chown -R 50000:50000 /opt/airflow /opt/groundtruth/data /opt/groundtruth/config \
    && chmod -R g+w /opt/airflow /opt/groundtruth/data /opt/groundtruth/config

# `docker compose exec scheduler airflow …`: with the secrets, as the service itself
RUN printf '#!/bin/sh\nexec python -m tools.stack airflow "$@"\n' > /usr/local/bin/airflow

COPY dags /opt/groundtruth/dags
COPY plugins /opt/groundtruth/plugins
COPY include /opt/groundtruth/include
COPY tools/__init__.py tools/stack.py tools/clean_database.py /opt/groundtruth/tools/
# A checkout made under a umask such as 077 has files for its owner alone.
RUN cd /opt/groundtruth && chmod -R a+rX dags plugins include tools

ENV AIRFLOW_HOME=/opt/airflow \
    PYTHONPATH=/opt/groundtruth \
    PYTHONDONTWRITEBYTECODE=1 \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/groundtruth/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/groundtruth/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False
USER 50000:50000
WORKDIR /opt/groundtruth
ENTRYPOINT ["python", "-m", "tools.stack"]
LABEL org.opencontainers.image.title="groundtruth-airflow" org.opencontainers.image.licenses="Apache-2.0"
