# Image of the service, without torch and training. `docker build --build-arg EXTRA=gpu .` builds the image for CUDA.
FROM python:3.11-slim-bookworm
ARG EXTRA=cpu
WORKDIR /app

# Dependencies are a separate layer, so that a changed source file does not reinstall them.
COPY pyproject.toml constraints.txt LICENSE ./
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore -c constraints.txt ".[$EXTRA,documents,grpc]"

COPY service service
COPY models models
RUN python -m compileall -q service

# Runs with --read-only --cap-drop ALL: writes no file and binds no port below 1024.
USER 10001:10001
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LIMELIGHT_HOST=0.0.0.0 LIMELIGHT_PORT=8000 ORT_DISABLE_TELEMETRY=1 \
    LIMELIGHT_DRAIN_DELAY_S=5
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"LIMELIGHT_PORT\"]}/health/ready', timeout=2)"]
CMD ["python", "-m", "service"]
