# The scoring service: `bentoml serve` on 3000 and 3001; also `python -m bentos.fraud ...`.
# scripts/images.sh gathers the context: this folder, the sources under src, the bento under bento.
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
COPY bento/env/python/requirements.txt /build/
RUN --mount=type=cache,target=/root/.cache/pip /build/install_layer.sh serve --constraint /src/constraints.txt --requirement /build/requirements.txt

FROM ${PYTHON_IMAGE} AS code
ARG PIP_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=
COPY images/install_compiler.sh src/constraints.txt /build/
RUN --mount=type=cache,target=/root/.cache/pip /build/install_compiler.sh /build/constraints.txt
COPY images/build_wheel.sh images/compile_code.sh /build/
COPY src /src
WORKDIR /src
RUN /build/build_wheel.sh /build/wheel/unpacked
# The model and the history have a layer of their own. Extensions are those built here, for this image's C library.
COPY bento /layers/code/opt/bento
WORKDIR /layers
RUN mkdir -p model/opt/bento/src state/var/lib/fraud \
 && for part in artifact snapshot; do \
      if [ -d code/opt/bento/src/$part ]; then mv code/opt/bento/src/$part model/opt/bento/src/; fi; done \
 && find code -name '*.so' -delete \
 && (cd /build/wheel/unpacked && find bentos -name '*.so' -exec cp --parents {} /layers/code/opt/bento/src/ \;) \
 && /build/compile_code.sh code model

FROM scratch
COPY --from=root / /
COPY --from=packages /layers/common/ /
COPY --from=packages /layers/serve/ /
COPY --from=code --chown=10001:10001 /layers/state/var/lib/fraud/ /var/lib/fraud/
COPY --from=code /layers/model/ /
COPY --from=code /layers/code/ /
# Nothing is written but FRAUD_HOME and /tmp.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/bento/src PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    LANG=C.UTF-8 HOME=/tmp FRAUD_HOME=/var/lib/fraud BENTOML_HOME=/tmp/bentoml BENTOML_DO_NOT_TRACK=true
USER 10001:10001
WORKDIR /opt/bento/src
EXPOSE 3000 3001
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "bentoml", "serve", "/opt/bento"]
CMD ["--host", "0.0.0.0", "--port", "3000"]
