# The server alone: one program, its libraries, one volume. Build with docker/build.sh, or from the
# root of the sources by `docker build -f docker/server.Dockerfile .`; BASE is a Debian 12.
ARG BASE=debian:12
FROM ${BASE} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev meson ninja-build pkg-config python3 \
    libmicrohttpd-dev libgnutls28-dev nettle-dev libjansson-dev libsqlite3-dev libcminpack-dev
COPY . /src
# The chart library, where the context has it, to where the build looks for it.
RUN if [ -d /src/charts ]; then \
    mkdir -p /build/npm/dashboard/node_modules/uplot \
 && mv /src/charts /build/npm/dashboard/node_modules/uplot/dist; fi
RUN meson setup /build /src --prefix=/usr -Dtests=false -Dworker=false \
 && DESTDIR=/out meson install -C /build --strip

FROM ${BASE}
RUN apt-get update \
 && apt-get install -y --no-install-recommends libmicrohttpd12 libgnutls30 libnettle8 libjansson4 libsqlite3-0 libcminpack1 \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -m 0700 -o 10001 -g 10001 /data
COPY --from=build /out/usr /usr
# No user of that number is in any base: nothing else on the host belongs to it.
USER 10001:10001
ENV LLMQUOTE_LISTEN=0.0.0.0:8080 LLMQUOTE_DB=/data/llmquote.db
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["llmquote-server", "healthcheck"]
ENTRYPOINT ["llmquote-server"]
