#!/usr/bin/env bash
# Launch a study, or go on with it where it was begun: the command of jobs that a scheduler may start several times.
#
#   launch-or-resume.sh FILE NAME [options of `contourney launch`]
#
# WORKSPACE is the folder of records and cache (default: workspace), RAY_ADDRESS the cluster. The process that runs is
# replaced by contourney, which ends in order on SIGTERM.
set -euo pipefail

file=${1:?expected FILE NAME: a study file or recipe, and the name of the study}
name=${2:?expected FILE NAME: a study file or recipe, and the name of the study}
shift 2
workspace=${WORKSPACE:-workspace}

if contourney status "$name" --workspace "$workspace" >/dev/null 2>&1; then
  exec contourney resume "$name" --workspace "$workspace" --quiet
fi
exec contourney launch "$file" --name "$name" --workspace "$workspace" --quiet "$@"
