#!/bin/sh
# Starts Redis with a password that appears in no command line.
#
# Nothing is kept on disk: it carries hints, "look for work" and the text of running turns, all of which come back from
# PostgreSQL. When its memory is full it refuses writes, which one can see, and drops nothing silently.
set -eu
: "${REDIS_PASSWORD:?}"
# a pipe would leave the shell as the one that is told to stop
exec redis-server - \
    --dir "${REDIS_DIR:-/data}" \
    --port "${REDIS_PORT:-6379}" \
    --save "" \
    --appendonly no \
    --maxmemory "${REDIS_MEMORY:-256mb}" \
    --maxmemory-policy noeviction <<EOF
requirepass "$REDIS_PASSWORD"
EOF
