#!/bin/sh
# What has to be done before a new version serves: tables (as the role that owns them), static files, first contents.
set -eu
DATABASE_URL="$DATABASE_OWNER_URL" python manage.py migrate --no-input
python manage.py collectstatic --no-input
python manage.py bootstrap
