# The calibration worker for CPUs: measures, reads training logs, delivers. Built as the server is;
# what it has measured waits in /spool.
ARG BASE=debian:12
FROM ${BASE} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev meson ninja-build pkg-config python3 \
    libmicrohttpd-dev libgnutls28-dev nettle-dev libjansson-dev libsqlite3-dev libcminpack-dev libopenblas-dev \
    libcurl4-openssl-dev
COPY . /src
RUN meson setup /build /src --prefix=/usr -Dtests=false \
 && DESTDIR=/out meson install -C /build --strip

FROM ${BASE}
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libjansson4 libcminpack1 \
    libopenblas0-pthread libcurl4 \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -m 0700 -o 10001 -g 10001 /spool
COPY --from=build /out/usr/bin/llmquote-worker /usr/bin/
COPY --from=build /out/usr/share/doc/llmquote /usr/share/doc/llmquote
USER 10001:10001
ENV LLMQUOTE_SPOOL=/spool/spool
VOLUME /spool
STOPSIGNAL SIGTERM
ENTRYPOINT ["llmquote-worker"]
