# Inference only: onnxruntime, numpy, pillow; no torch, not root, models from outside.
#
#   docker build -t trufor-onnx .                            models are mounted
#   docker build -t trufor-onnx --target bundled .           models of onnx_models/, merged, verified
#   docker build -t trufor-onnx:gpu --build-arg EXTRA=gpu .  the same base, the other wheel
#
#   docker run --rm -p 127.0.0.1:8765:8765 -v "$PWD/onnx_models:/trufor/onnx_models:ro" trufor-onnx
#   docker run --rm -v "$PWD/onnx_models:/trufor/onnx_models:ro" -v "$PWD/photos:/in:ro" \
#     -v "$PWD/out:/out" -u "$(id -u)" trufor-onnx analyze /in --out /out
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
# cpu or gpu; the wheel of onnxruntime-gpu brings CUDA's libraries by its own extras.
ARG EXTRA=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/trufor
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY trufor_onnx trufor_onnx
COPY chunking chunking
COPY export export
COPY parity parity
COPY runtime runtime
RUN /opt/trufor/bin/pip install -c constraints.txt ".[${EXTRA},serve,heic]" \
 && if [ "${EXTRA}" = gpu ]; then /opt/trufor/bin/pip install "onnxruntime-gpu[cuda,cudnn]"; fi

FROM build AS merged
COPY onnx_models /models
# Pieces become files, every byte checked; a damaged one ends the build.
RUN if ls -d /models/*.chunks >/dev/null 2>&1; then \
      /opt/trufor/bin/python -m chunking merge /models && rm -r /models/*.chunks; \
    fi \
 && ls /models/noiseprint_pp*.onnx \
 && ls /models/trufor_head*.onnx

FROM ${BASE} AS inference
LABEL org.opencontainers.image.title="trufor-onnx" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/trufor/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TRUFOR_CACHE=/var/cache/trufor \
    ORT_DISABLE_TELEMETRY=1
RUN mkdir -m 1777 /var/cache/trufor /out && mkdir -p /trufor/onnx_models
COPY --from=build /opt/trufor /opt/trufor
WORKDIR /trufor
USER 10001:10001
EXPOSE 8765
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8765/about', timeout=4)"]
ENTRYPOINT ["trufor-onnx"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8765"]

FROM inference AS bundled
COPY --from=merged /models /trufor/onnx_models

# The last stage is what `docker build` makes: without models.
FROM inference
