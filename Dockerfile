# One image for every service of Stretto; what it does is its command: `memory run`, `supervisor run`, `agent run researcher`, ...
#
#   docker build -t stretto .
#   docker build -t stretto-agent --build-arg EXTRA=openai .    an agent has no use for the vector store
#   docker build -t stretto-agent --build-arg EXTRA= .          and without a provider for none of the extras

FROM python:3.12-slim AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY stretto stretto
RUN pip wheel --quiet --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1 \
    STRETTO_DATA_DIR=/var/lib/stretto
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/stretto stretto

# What Stretto needs weighs most and changes least: a layer of its own, made from the declarations and an empty package.
ARG EXTRA=all
WORKDIR /src
COPY pyproject.toml constraints.txt ./
RUN mkdir stretto \
    && touch stretto/__init__.py README.md LICENSE \
    && pip install --quiet --no-cache-dir --constraint constraints.txt ".${EXTRA:+[$EXTRA]}" \
    && pip uninstall --quiet --yes stretto \
    && rm -rf stretto README.md LICENSE

RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --quiet --no-cache-dir --no-deps --no-index /wheels/*.whl

USER stretto
WORKDIR /var/lib/stretto
ENTRYPOINT ["stretto"]
CMD ["--help"]
