# Training, tuning and the registry: `python -m training ...`, `mlflow server`, `python -m bentos.fraud records ...`.
# scripts/images.sh gathers the context: this folder, and the sources under src.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim
ARG HELM_IMAGE=docker.io/alpine/helm:4

FROM ${PYTHON_IMAGE} AS root
COPY images/slim_root.sh /
RUN /slim_root.sh && rm /slim_root.sh

FROM ${PYTHON_IMAGE} AS packages
ARG PIP_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=
COPY images/install_layer.sh images/common.txt /build/
COPY src/constraints.txt /src/
RUN --mount=type=cache,target=/root/.cache/pip /build/install_layer.sh common --constraint /src/constraints.txt --requirement /build/common.txt
RUN --mount=type=cache,target=/root/.cache/pip /build/install_layer.sh mlflow --constraint /src/constraints.txt mlflow
# torch goes first, alone: what needs it then finds this version. CUDA's libraries would add gigabytes.
COPY wheels /build/wheels
RUN --mount=type=cache,target=/root/.cache/pip \
    /build/install_layer.sh torch --constraint /src/constraints.txt --find-links /build/wheels torch \
 && if ls -d /opt/venv/lib/python3*/site-packages/nvidia* >/dev/null 2>&1; then \
      echo "this torch comes with CUDA; set PIP_EXTRA_INDEX_URL to an index of CPU builds, or PIP_FIND_LINKS to a folder with one" >&2; \
      exit 1; fi
COPY images/requirements.py /build/
COPY src/pyproject.toml /src/
RUN --mount=type=cache,target=/root/.cache/pip python3 /build/requirements.py /src/pyproject.toml serve train k8s > /build/requirements.txt \
 && /build/install_layer.sh workers --constraint /src/constraints.txt --requirement /build/requirements.txt

FROM ${PYTHON_IMAGE} AS code
ARG PIP_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=
COPY images/install_compiler.sh src/constraints.txt /build/
RUN --mount=type=cache,target=/root/.cache/pip /build/install_compiler.sh /build/constraints.txt
COPY images/build_wheel.sh images/compile_code.sh /build/
COPY src /src
WORKDIR /src
RUN mkdir -p /layers/state/var/lib/fraud \
 && /build/build_wheel.sh /layers/code/opt/fraud \
 && /build/compile_code.sh /layers/code

FROM ${HELM_IMAGE} AS helm

FROM scratch
COPY --from=root / /
COPY --from=packages /layers/common/ /
COPY --from=packages /layers/mlflow/ /
COPY --from=packages /layers/torch/ /
COPY --from=packages /layers/workers/ /
COPY --from=code --chown=10001:10001 /layers/state/var/lib/fraud/ /var/lib/fraud/
COPY --from=code /layers/code/ /
# The controller of rollouts changes its release with both.
COPY --from=helm /usr/bin/helm /usr/local/bin/helm
COPY chart /opt/fraud/helm/fraud-platform
# Nothing is written but FRAUD_HOME and /tmp.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/fraud PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    LANG=C.UTF-8 HOME=/tmp FRAUD_HOME=/var/lib/fraud BENTOML_HOME=/tmp/bentoml \
    BENTOML_DO_NOT_TRACK=true MLFLOW_DISABLE_TELEMETRY=true
USER 10001:10001
WORKDIR /var/lib/fraud
EXPOSE 5000
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "training"]
CMD ["--help"]
