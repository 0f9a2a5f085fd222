#!/bin/sh
# Starts Redis with a password that appears in no command line.
#
# Nothing is kept on disk: it carries hints, "look for work" and the text of running turns, all of which come back from
# PostgreSQL. When its memory is full it refuses writes, which one can see, and drops nothing silently.
set -eu
: "${REDIS_PASSWORD:?}"
printf 'requirepass "%s"\n' "$REDIS_PASSWORD" | exec redis-server - \
    --dir "${REDIS_DIR:-/data}" \
    --port "${REDIS_PORT:-6379}" \
    --save "" \
    --appendonly no \
    --maxmemory "${REDIS_MEMORY:-256mb}" \
    --maxmemory-policy noeviction
