#!/usr/bin/env bash
# Builds the images without a daemon: a Debian 12 base by mmdebstrap from the mirror that apt uses
# here, then each Dockerfile by buildah. No registry is asked. As root, on Debian.
#
# usage: docker/build.sh [server|worker]...     both without arguments
# LLMQUOTE_IMAGES is where base and images go (default: build-images/ beside docker/).
# LLMQUOTE_CUDA is an image that buildah has here, with the CUDA toolkit: the worker gets its module.
set -euo pipefail

root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
place=${LLMQUOTE_IMAGES:-$root/build-images}
base=$place/base.tar
[ $# -gt 0 ] || set -- server worker
for name in "$@"; do
    [ -f "$root/docker/$name.Dockerfile" ] || { echo "build.sh: no image called $name" >&2; exit 2; }
done
mkdir -p "$place"
tool() { buildah --root "$place/storage" --runroot "$place/run" --storage-driver vfs "$@"; }

if [ ! -f "$base" ]; then
    mmdebstrap --variant=minbase --include=ca-certificates bookworm "$base.new"
    mv "$base.new" "$base"
fi
if ! tool inspect --type image localhost/llmquote-base >/dev/null 2>&1; then
    container=$(tool from scratch)
    tool add --quiet "$container" "$base" /
    tool commit --quiet --rm "$container" llmquote-base >/dev/null
fi

# What git knows of, as it stands now: no build folder, no database.
context=$(mktemp -d "$place/context.XXXXXX")
trap 'rm -rf "$context"' EXIT
(cd "$root" && git ls-files -z --cached --others --exclude-standard |
    xargs -0 cp --parents --target-directory "$context")
# The dashboard's chart library, where ./dev has fetched it; without it the page says what is missing.
charts=${BUILD_DIR:-$root/build}/npm/dashboard/node_modules/uplot/dist
[ ! -d "$charts" ] || cp -r "$charts" "$context/charts"

cuda=()
[ -z "${LLMQUOTE_CUDA:-}" ] || cuda=(--build-arg "CUDA=$LLMQUOTE_CUDA")
for name in "$@"; do
    more=()
    [ "$name" != worker ] || more=("${cuda[@]}")
    tool build --isolation chroot --pull-never --layers --format docker \
        --build-arg BASE=localhost/llmquote-base "${more[@]}" \
        --file "$context/docker/$name.Dockerfile" --tag "llmquote-$name" "$context"
    tool push --quiet "llmquote-$name" "docker-archive:$place/llmquote-$name.tar.new:llmquote-$name:latest"
    mv "$place/llmquote-$name.tar.new" "$place/llmquote-$name.tar"
    echo "build.sh: $place/llmquote-$name.tar"
done
