# syntax=docker/dockerfile:1
# Two stages: the first builds a virtual environment, the second holds it and nothing else.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY emulator ./emulator
COPY fixtures ./fixtures
RUN python -m venv /opt/emulator \
 && /opt/emulator/bin/pip install --no-cache-dir --no-compile . \
 && /opt/emulator/bin/pip uninstall --yes pip \
 && /opt/emulator/bin/python -m compileall -q /opt/emulator/lib

FROM python:3.13-slim
COPY --from=build /opt/emulator /opt/emulator
ENV PATH=/opt/emulator/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FLOW_EMULATOR_HOST=0.0.0.0 \
    FLOW_EMULATOR_EXPORT_DIR=/exports
# Any user may write to the exports, so that `--user $(id -u)` works without a prepared volume as well.
RUN mkdir -m 1777 /exports
USER 10001:10001
VOLUME /exports
EXPOSE 8080
HEALTHCHECK --interval=2s --timeout=3s --start-period=10s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:%s/__emulator/health' % os.environ.get('FLOW_EMULATOR_PORT', '8080'), timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["flow-service-emulator"]
CMD ["serve"]
