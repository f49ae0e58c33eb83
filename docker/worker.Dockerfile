# The calibration worker: measures, reads training logs, delivers. Built as the server is; what it
# has measured waits in /spool. CUDA: an image with the toolkit of CUDA 13 and its libraries (nvcc,
# libcublasLt) and NCCL, as nvidia/cuda:13.0.1-devel-ubuntu22.04 is; then the image holds the CUDA
# module and what that needs but the driver, which the host's container toolkit adds. Without it: CPUs alone.
ARG BASE=debian:12
ARG CUDA=${BASE}
FROM ${CUDA} AS cuda
RUN if [ -e /usr/local/cuda ]; then mv "$(readlink -f /usr/local/cuda)" /toolkit; else mkdir /toolkit; fi \
 && for nccl in /usr/lib/*/libnccl.so.2; do if [ -e "$nccl" ]; then cp --dereference "$nccl" /toolkit; fi; done

FROM ${BASE} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev meson ninja-build pkg-config python3 \
    libmicrohttpd-dev libgnutls28-dev nettle-dev libjansson-dev libsqlite3-dev libcminpack-dev libopenblas-dev \
    libcurl4-openssl-dev
COPY --from=cuda /toolkit /usr/local/cuda
RUN if [ -x /usr/local/cuda/bin/nvcc ]; then apt-get install -y --no-install-recommends g++; fi
COPY . /src
# The CUDA libraries that the module asks for lie beside it, under the names it asks for.
RUN export PATH="/usr/local/cuda/bin:$PATH" LIBRARY_PATH=/usr/local/cuda/lib64 \
 && meson setup /build /src --prefix=/usr --libdir=lib -Dtests=false \
 && DESTDIR=/out meson install -C /build --strip \
 && install -d /out/usr/lib/llmquote \
 && if [ -e /out/usr/lib/llmquote/llmquote-cuda.so ]; then \
      LD_LIBRARY_PATH=/usr/local/cuda/lib64 ldd /out/usr/lib/llmquote/llmquote-cuda.so \
      | awk '$3 ~ "^/usr/local/cuda/" { print $3 }' \
      | xargs -r cp --dereference --target-directory /out/usr/lib/llmquote; \
      if [ -e /usr/local/cuda/libnccl.so.2 ]; then cp /usr/local/cuda/libnccl.so.2 /out/usr/lib/llmquote; fi; \
    fi

FROM ${BASE}
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libjansson4 libcminpack1 \
    libopenblas0-pthread libcurl4 \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -m 0700 -o 10001 -g 10001 /spool
COPY --from=build /out/usr/bin/llmquote-worker /usr/bin/
COPY --from=build /out/usr/lib/llmquote /usr/lib/llmquote
COPY --from=build /out/usr/share/doc/llmquote /usr/share/doc/llmquote
RUN echo /usr/lib/llmquote > /etc/ld.so.conf.d/llmquote.conf && ldconfig
USER 10001:10001
ENV LLMQUOTE_SPOOL=/spool/spool NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
VOLUME /spool
STOPSIGNAL SIGTERM
ENTRYPOINT ["llmquote-worker"]
