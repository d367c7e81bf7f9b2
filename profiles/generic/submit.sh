#!/bin/sh
# submit.sh JOBSCRIPT: start it in the background, in a new session, and print the job's ID.
set -eu
jobs=logs/generic
mkdir -p "$jobs"
job=$(mktemp -d "$jobs/XXXXXX")
cp "$1" "$job/script.sh"
# The shell's ID is the session's; cancel.sh finds the job's processes by it.
setsid sh -c '
    echo $$ > "$0/session"
    sh "$0/script.sh" > "$0/output" 2>&1 && result=success || result=failed
    echo "$result" > "$0/result.new"
    mv "$0/result.new" "$0/result"
' "$job" > /dev/null 2>&1 &
echo "$job"
