#!/bin/sh
# cancel.sh JOB...: asks all that these jobs started to end.
for job in "$@"; do
    pkill -TERM -s "$(cat "$job/session")" || true # it may just have ended
done
