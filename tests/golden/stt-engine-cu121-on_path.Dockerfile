# stt-engine 1.0.0 cu121: rendered from templates/Dockerfile.j2 by `inv render`; edit variants.yaml or the template, not this file.
# By hand: docker build --network none -t stt-engine:1.0.0-cu121 .
FROM torchferry-base:bookworm-0123456789ab

# Root work comes first, whatever user the base ends with; USER stands last.
USER 0

# One virtual environment for everything, made and filled by a uv that is only lent to the build.
RUN --mount=type=bind,source=tools,target=/mnt \
    ["/mnt/uv", "venv", "--quiet", "--no-cache", "--no-config", "--offline", "--python-preference", "only-system", "--python", "3.11", "/opt/venv"]

# CUDA libraries: they change with torch's CUDA build only.
RUN --mount=type=bind,source=tools,target=/mnt \
    --mount=type=bind,source=wheels/cuda,target=/media \
    ["/mnt/uv", "pip", "install", "--no-config", "--offline", "--no-cache", "--no-installer-metadata", "--python", "/opt/venv/bin/python", "--no-index", "--find-links", "/media", "--no-deps", "--require-hashes", "--requirements", "/media/requirements.txt"]

# torch and what is released with it.
RUN --mount=type=bind,source=tools,target=/mnt \
    --mount=type=bind,source=wheels/torch,target=/media \
    ["/mnt/uv", "pip", "install", "--no-config", "--offline", "--no-cache", "--no-installer-metadata", "--python", "/opt/venv/bin/python", "--no-index", "--find-links", "/media", "--no-deps", "--require-hashes", "--requirements", "/media/requirements.txt"]

# All other packages.
RUN --mount=type=bind,source=tools,target=/mnt \
    --mount=type=bind,source=wheels/packages,target=/media \
    ["/mnt/uv", "pip", "install", "--no-config", "--offline", "--no-cache", "--no-installer-metadata", "--python", "/opt/venv/bin/python", "--no-index", "--find-links", "/media", "--no-deps", "--require-hashes", "--requirements", "/media/requirements.txt"]

# cuda_libraries: on_path, for code that opens CUDA libraries by name. Nothing is fetched at run time.
ENV PATH="/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENV VIRTUAL_ENV="/opt/venv"
ENV HOME="/tmp"
ENV PYTHONUNBUFFERED="1"
ENV PYTHONDONTWRITEBYTECODE="1"
ENV HF_HUB_OFFLINE="1"
ENV TRANSFORMERS_OFFLINE="1"
ENV HF_DATASETS_OFFLINE="1"
ENV LD_LIBRARY_PATH="/opt/venv/lib/python3.11/site-packages/cusparselt/lib:/opt/venv/lib/python3.11/site-packages/nvidia/cublas/lib"
ENV NVIDIA_VISIBLE_DEVICES="all"
ENV NVIDIA_DRIVER_CAPABILITIES="compute,utility"
ENV NVIDIA_REQUIRE_CUDA="cuda>=12.0 driver>=525"
ENV STT_DEVICE="auto"

COPY tools/health.py /opt/torchferry/health.py
WORKDIR /app
COPY app/ /app/
RUN --mount=type=bind,source=tools,target=/mnt \
    ["/opt/venv/bin/python", "-I", "-S", "-B", "/mnt/prepare.py", "10001", "/app/logs", "/app/models"]

EXPOSE 8003
VOLUME ["/app/logs", "/app/models"]
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["/opt/venv/bin/python", "-I", "-S", "/opt/torchferry/health.py", "http://127.0.0.1:8003/health", "{\"status\": \"ok\"}"]
ENTRYPOINT []
CMD ["python", "-m", "stt_engine"]
USER 10001:10001

# Said by the lock, never by hand.
LABEL org.opencontainers.image.title="stt-engine"
LABEL org.opencontainers.image.version="1.0.0"
LABEL org.opencontainers.image.base.name="torchferry-base:bookworm-0123456789ab"
LABEL io.torchferry.variant="cu121"
LABEL io.torchferry.lock="6af6ef1df0530c1340489f7062617ad44922183321cb96df03d395846289777f"
LABEL org.opencontainers.image.revision="cccccccccccccccccccccccccccccccccccccccc"
LABEL io.torchferry.torch="2.1.2"
LABEL io.torchferry.cuda="12.1"
LABEL io.torchferry.driver-floor="525.60.13"
