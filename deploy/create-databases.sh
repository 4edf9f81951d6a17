#!/bin/sh
# Run once by the PostgreSQL image, on an empty volume. Optuna and MLflow both keep a table `alembic_version`: each has
# a database of its own.
set -eu
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres -c 'create database optuna' -c 'create database mlflow'
