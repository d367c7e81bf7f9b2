#!/bin/sh
# status.sh JOB: print running, success or failed.
if [ -f "$1/result" ]; then
    cat "$1/result"
elif [ ! -f "$1/session" ] || kill -0 "$(cat "$1/session")" 2> /dev/null; then
    echo running
elif [ -f "$1/result" ]; then # written meanwhile
    cat "$1/result"
else
    echo failed
fi
