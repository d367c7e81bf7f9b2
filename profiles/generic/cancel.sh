#!/bin/sh
# cancel.sh JOB...: send SIGTERM to all processes of these jobs.
for job in "$@"; do
    pkill -TERM -s "$(cat "$job/session")" || true # it may just have ended
done
