# syntax=docker/dockerfile:1
# What is installed is locked by hash and has a layer of its own: an edit of code, docs or tests leaves it as it is.
FROM python:3.13-slim AS environment
COPY emulator/docker.lock /
RUN python -m venv --without-pip /opt/emulator \
 && pip --python /opt/emulator/bin/python install --no-cache-dir --no-compile --only-binary :all: --require-hashes -r /docker.lock \
 && python -m compileall -q --invalidation-mode unchecked-hash /opt/emulator/lib

FROM python:3.13-slim AS source
RUN pip install --no-cache-dir "hatchling>=1.32,<2"
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY emulator ./emulator
COPY fixtures ./fixtures
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist .

# A release puts the wheel that it has checked in this stage's place: docker build --build-context wheel=dist .
FROM scratch AS wheel
COPY --from=source /dist/*.whl /

FROM environment AS package
COPY --from=wheel /*.whl /dist/
RUN pip --python /opt/emulator/bin/python install --no-cache-dir --no-compile --no-index --no-deps --prefix /package /dist/*.whl \
 && python -m compileall -q --invalidation-mode unchecked-hash -s /package -p /opt/emulator /package/lib

FROM python:3.13-slim
LABEL org.opencontainers.image.title="flow-service-emulator" \
      org.opencontainers.image.description="A local emulator of Adobe Experience Platform's Flow Service" \
      org.opencontainers.image.licenses="MIT"
# Any user may write to both, so that `--user $(id -u)` works without a prepared volume as well.
RUN mkdir -m 1777 /exports /data
COPY --from=environment /opt/emulator /opt/emulator
COPY --from=package /package /opt/emulator
COPY emulator/docker.health /opt/emulator/
ENV PATH=/opt/emulator/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FLOW_EMULATOR_HOST=0.0.0.0 \
    FLOW_EMULATOR_EXPORT_DIR=/exports
USER 10001:10001
VOLUME ["/exports", "/data"]
EXPOSE 8080
HEALTHCHECK --interval=2s --timeout=3s --start-period=10s --retries=3 CMD ["bash", "/opt/emulator/docker.health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["flow-service-emulator"]
CMD ["serve"]
