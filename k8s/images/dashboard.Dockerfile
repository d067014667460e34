# The pages for people: Streamlit on 8501, over the service's HTTP API and MLflow.
# scripts/images.sh gathers the context: this folder, and the sources under src.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim

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
COPY images/requirements.py /build/
COPY src/pyproject.toml /src/
RUN --mount=type=cache,target=/root/.cache/pip python3 /build/requirements.py /src/pyproject.toml client dashboard > /build/requirements.txt \
 && /build/install_layer.sh dashboard --constraint /src/constraints.txt --requirement /build/requirements.txt

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
 && rm -r /layers/code/opt/fraud/bentos/fraud /layers/code/opt/fraud/training \
 && /build/compile_code.sh /layers/code

FROM scratch
COPY --from=root / /
COPY --from=packages /layers/common/ /
COPY --from=packages /layers/mlflow/ /
COPY --from=packages /layers/dashboard/ /
COPY --from=code --chown=10001:10001 /layers/state/var/lib/fraud/ /var/lib/fraud/
COPY --from=code /layers/code/ /
# Nothing is written but FRAUD_HOME and /tmp.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/fraud PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    LANG=C.UTF-8 HOME=/tmp FRAUD_HOME=/var/lib/fraud MLFLOW_DISABLE_TELEMETRY=true \
    STREAMLIT_SERVER_HEADLESS=true STREAMLIT_BROWSER_GATHER_USAGE_STATS=false
USER 10001:10001
WORKDIR /opt/fraud
EXPOSE 8501
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "streamlit", "run", "dashboard/app.py"]
CMD ["--server.address", "0.0.0.0", "--server.port", "8501"]
