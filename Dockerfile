# htbench on CPUs:
#   docker build -t htbench .
#   docker run --rm -v htbench-runs:/home/htbench/runs htbench run quickstart
FROM python:3.12-slim AS build
COPY . /source
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /source

FROM python:3.12-slim
# Address of an index whose torch is built for CPUs alone: it saves most of the image's size.
ARG TORCH_INDEX=""
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} "$(echo /wheels/*.whl)[models]" \
    && rm -r /wheels \
    && useradd --create-home htbench \
    && install -d -o htbench /home/htbench/runs
USER htbench
WORKDIR /home/htbench
VOLUME /home/htbench/runs
ENTRYPOINT ["htbench"]
