#!/usr/bin/env bash
# A study as a job of a running Ray cluster, from any machine that reaches its dashboard:
#
#   RAY_API_SERVER_ADDRESS=http://HEAD:8265 deploy/ray-job-submit.sh FILE NAME [options of `contourney launch`]
#
# The folder of FILE travels as the job's working folder. The driver runs on the head: OPTUNA_STORAGE and
# MLFLOW_TRACKING_URI belong into the head's environment, where workers on other nodes do not see them; a runtime
# environment would give them to every worker. `ray job stop ID` ends the driver in order if the head was started with
# RAY_JOB_STOP_WAIT_TIME_S=60 (Ray kills after 3 s otherwise).
set -euo pipefail

file=${1:?expected FILE NAME: a study file, and the name of the study}
name=${2:?expected FILE NAME: a study file, and the name of the study}
shift 2
: "${RAY_API_SERVER_ADDRESS:?expected the dashboard of the cluster, such as http://head:8265}"
folder=$(cd "$(dirname "$file")" && pwd)

exec ray job submit --address "$RAY_API_SERVER_ADDRESS" --working-dir "$folder" \
  --metadata-json "{\"study\": \"$name\"}" -- \
  contourney-go-on "$(basename "$file")" "$name" "$@"
