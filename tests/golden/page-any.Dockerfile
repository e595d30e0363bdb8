# page 1.0.0 any: rendered from templates/Dockerfile.j2 by `inv render`; edit variants.yaml or the template, not this file.
# By hand: docker build --network none -t page:1.0.0-any .
FROM python:3.11-slim-bookworm@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb

# Root work comes first, whatever user the base ends with; USER stands last.
USER 0

# One virtual environment for everything, made and filled by a uv that is only lent to the build.
RUN --mount=type=bind,source=tools,target=/mnt \
    ["/mnt/uv", "venv", "--quiet", "--no-cache", "--no-config", "--offline", "--python-preference", "only-system", "--python", "3.11", "/opt/venv"]

# All other packages.
RUN --mount=type=bind,source=tools,target=/mnt \
    --mount=type=bind,source=wheels/packages,target=/media \
    ["/mnt/uv", "pip", "install", "--no-config", "--offline", "--no-cache", "--no-installer-metadata", "--python", "/opt/venv/bin/python", "--no-index", "--find-links", "/media", "--no-deps", "--require-hashes", "--requirements", "/media/requirements.txt"]

# No LD_LIBRARY_PATH: torch finds the CUDA libraries of its wheels by RPATH. Nothing is fetched at run time.
ENV PATH="/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENV VIRTUAL_ENV="/opt/venv"
ENV HOME="/tmp"
ENV PYTHONUNBUFFERED="1"
ENV PYTHONDONTWRITEBYTECODE="1"
ENV HF_HUB_OFFLINE="1"
ENV TRANSFORMERS_OFFLINE="1"
ENV HF_DATASETS_OFFLINE="1"

WORKDIR /app
COPY app/ /app/
RUN --mount=type=bind,source=tools,target=/mnt \
    ["/opt/venv/bin/python", "-I", "-S", "-B", "/mnt/prepare.py", "10001"]

ENTRYPOINT []
CMD ["python", "-m", "page"]
USER 10001:10001

# Said by the lock, never by hand.
LABEL org.opencontainers.image.title="page"
LABEL org.opencontainers.image.version="1.0.0"
LABEL org.opencontainers.image.base.name="python:3.11-slim-bookworm@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
LABEL io.torchferry.variant="any"
LABEL io.torchferry.lock="b5b6f3586fb7f37f1de5d8c3e4b9a12281906ea63cc12276364b2bee77f3c762"
LABEL org.opencontainers.image.revision="cccccccccccccccccccccccccccccccccccccccc"
