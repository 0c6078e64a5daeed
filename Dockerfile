# syntax=docker/dockerfile:1
# docker build --build-arg COMMIT="$(git rev-parse --short HEAD)" -t bucket-brigade .
# docs/deployment.md says how to run it.

FROM rust:1.95-slim-bookworm AS build
# npm brings what makes the page small (xtask/tools); cargo xtask brings the rest.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends nodejs npm \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ARG COMMIT=
# What was compiled stays in the builder's cache for the next time; the binary is taken out of it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    BRIGADE_COMMIT="$COMMIT" cargo xtask build \
    && install target/release/bucket-brigade /usr/local/bin/ \
    && mkdir /data

# glibc, as the tests ran with it, and the certificates of public authorities; no shell.
FROM gcr.io/distroless/cc-debian12:nonroot
ARG COMMIT=
LABEL org.opencontainers.image.title="Bucket Brigade" \
      org.opencontainers.image.description="Streams browser uploads into S3" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.revision="$COMMIT"
COPY --from=build /usr/local/bin/bucket-brigade /usr/local/bin/
COPY --from=build --chown=65532:65532 /data /data
ENV BRIGADE_LISTEN=0.0.0.0:3000 BRIGADE_DATA_DIR=/data
USER 65532:65532
EXPOSE 3000
VOLUME /data
# Running uploads end, for --shutdown-grace; `docker stop` needs a longer --time than that.
STOPSIGNAL SIGTERM
# Whether it lives. A store that is down is no reason to start the server again: that is `health --ready`'s question.
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s CMD ["/usr/local/bin/bucket-brigade", "health"]
ENTRYPOINT ["/usr/local/bin/bucket-brigade"]
