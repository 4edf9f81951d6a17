#!/usr/bin/env bash
# A study on the nodes of one Slurm job:
#
#   sbatch deploy/slurm.sh FILE NAME [options of `contourney launch`]
#
# The same command again goes on with the study. Sixty seconds before the time is over, and on
# `scancel --batch --signal=TERM JOB`, the driver is told to end: open trials wait, records are closed.
# Nodes are the job's alone: `ray symmetric-run` starts beside no other Ray of yours, and ends by stopping all of them.
# `ray` and `contourney` must be on PATH on every node; WORKSPACE must be a folder that all nodes share, or trials' files
# go to a URI with --storage. What only the driver may know (OPTUNA_STORAGE, MLFLOW_TRACKING_URI, passwords) is exported
# by the file that DRIVER_ENV names: Slurm would hand the submitter's environment to every worker.
#SBATCH --job-name=contourney
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=2
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@60
#SBATCH --open-mode=append
set -euo pipefail

for secret in OPTUNA_STORAGE "${!MLFLOW_TRACKING_@}" MLFLOW_BACKEND_STORE_URI MLFLOW_REGISTRY_STORE_URI \
  PGPASSWORD PGPASSFILE PGSERVICEFILE; do
  if [ -n "${!secret:-}" ]; then
    echo "error: $secret would reach every worker; export it in a file of yours alone and name that in DRIVER_ENV" >&2
    exit 2
  fi
done

here=${CONTOURNEY_DEPLOY:-${SLURM_SUBMIT_DIR:-$PWD}/deploy}
export WORKSPACE=${WORKSPACE:-$PWD/workspace}
mkdir -p "$WORKSPACE"
driver_pid=$WORKSPACE/.driver-$SLURM_JOB_ID

# The batch script runs on the first node of the job, which becomes the head.
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export RAY_ADDRESS=$head:${RAY_PORT:-6379}

# Others on the network may reach Ray's ports: they need this user's token (in ~/.ray, which the nodes share).
export RAY_AUTH_MODE=${RAY_AUTH_MODE:-token}
if [ "$RAY_AUTH_MODE" = token ]; then ray get-auth-token --generate >/dev/null; fi

# Slurm tells this script alone (B:), and it tells the driver alone: Ray must live until the driver has ended.
# shellcheck disable=SC2329 # the trap calls it
end_driver() {
  if [ -s "$driver_pid" ]; then kill -TERM "$(cat "$driver_pid")" 2>/dev/null || true; fi
}
trap end_driver TERM
trap 'rm -f "$driver_pid"' EXIT

# shellcheck disable=SC2016 # the inner shell's own $$ and variables: it becomes the driver
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 \
  ray symmetric-run --address "$RAY_ADDRESS" --min-nodes "$SLURM_JOB_NUM_NODES" \
  --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" -- \
  bash -c 'if [ -n "${DRIVER_ENV:-}" ]; then . "$DRIVER_ENV"; fi; echo $$ > "$0"; exec "$@"' "$driver_pid" "$here/launch-or-resume.sh" "$@" &
step=$!

# A signal ends `wait`, not the step.
code=0
while kill -0 "$step" 2>/dev/null; do
  code=0
  wait "$step" || code=$?
done
exit "$code"
