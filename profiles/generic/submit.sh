#!/bin/sh
# submit.sh JOBSCRIPT: starts it in the background, in a session of its own, and prints the job's id.
set -eu
jobs=logs/generic
mkdir -p "$jobs"
job=$(mktemp -d "$jobs/XXXXXX")
cp "$1" "$job/script.sh"
# The shell's id is the session's, by which cancel.sh finds all that the job started.
setsid sh -c '
    echo $$ > "$0/session"
    sh "$0/script.sh" > "$0/output" 2>&1 && result=success || result=failed
    echo "$result" > "$0/result.new"
    mv "$0/result.new" "$0/result"
' "$job" > /dev/null 2>&1 &
echo "$job"
