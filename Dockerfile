# One image for every process of LedgerLink; the command chooses which: `wallet server`, `wallet worker`, `wallet migrate`.
# Everything installed is pinned with its hash in requirements.lock; uv refuses what is not. Built in two stages, so that
# the image that runs has no compiler, no installer and no package that only tests need.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
COPY requirements.lock ./
# pip installs only uv, at the lock's own version and hashes.
RUN sed -n '/^uv==/,/^[^ ]/{/^uv==/p;/^ /p;}' requirements.lock > /tmp/uv.txt \
    && python -m venv /tools \
    && /tools/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --requirement /tmp/uv.txt
COPY deploy/image/install.sh deploy/image/install.sh
COPY libs libs
COPY services services
RUN sh deploy/image/install.sh /app
COPY deploy/image/ledgerlink deploy/image/healthy /app/bin/

FROM python:3.11-slim-bookworm
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="LedgerLink" \
      org.opencontainers.image.description="Gateway, identity, wallet, payments, risk and the sandbox provider" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm"
# Bytecode is compiled at build time: nothing writes to the image's files, so its root can be read-only.
ENV PATH=/app/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["healthy"]
ENTRYPOINT ["ledgerlink"]
CMD ["help"]
