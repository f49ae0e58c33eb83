"""Includes run down only, and each library's header stays in the room that is its own.

The table is the house plan: what a folder may include, beside its own files.
"""

import fnmatch
import pathlib
import re
import sys

from tap import Report, files

CORE = ["core/base", "core/arch", "core/finetune", "core/planning"]  # lowest first
SERVER_BELOW_API = CORE + ["server/json", "server/store"]
MAY_INCLUDE = {
    "core/base": [],
    "core/arch": CORE[:1],
    "core/finetune": CORE[:2],
    "core/planning": CORE[:3],
    "server/json": CORE,
    "server/store": CORE + ["migrations"],  # migrations/embed.h: the SQL and the seed as bytes
    "server/jobs": SERVER_BELOW_API,
    "server/dashboard": [],
    "server/api": SERVER_BELOW_API + ["server/jobs", "server/dashboard", "migrations"],  # as bytes
    "server/http": SERVER_BELOW_API + ["server/api"],
    "kernels": CORE[:1],  # backend.h: one header between the worker and its backends
    "kernels/cpu": CORE[:1] + ["kernels"],
    "kernels/cuda": CORE[:1] + ["kernels", "kernels/cuda/shim"],  # of the shim: cuda.h alone
    "kernels/cuda/shim": ["kernels/cuda"],
    "kernels/base": CORE[:2],
    "kernels/layer": CORE[:3] + ["kernels", "kernels/base"],
    "kernels/measure": CORE[:3] + ["kernels", "kernels/base", "kernels/layer"],
    "kernels/document": CORE[:2] + ["kernels", "kernels/base", "kernels/measure"],
    "kernels/delivery": CORE[:1] + ["kernels/base", "kernels/document"],
    "kernels/import": CORE[:2] + ["kernels/base", "kernels/document"],
    "kernels/worker": CORE[:3] + ["kernels", "kernels/base", "kernels/layer", "kernels/measure",
                                  "kernels/document", "kernels/delivery", "kernels/import"],
    "server": SERVER_BELOW_API + ["server/jobs", "server/api", "server/http"],
}
# Headers that every room of server/ may include: they stand below all of them.
GROUND = ["server/clock.h", "server/config.h", "server/csv.h", "server/ip.h", "server/log.h",
          "server/metrics.h", "server/random.h"]

# A library's header, and the only files that may include it.
LIBRARIES = {
    "microhttpd.h": ["server/http/http.c"],
    "gnutls/gnutls.h": ["server/http/tls*.c"],
    "gnutls/x509.h": ["server/http/tls*.c"],
    "nettle/sha2.h": ["server/store/sha256.h"],
    "sqlite3.h": ["server/store/database_private.h"],
    "jansson.h": ["server/json/*", "kernels/document/*"],
    "curl/curl.h": ["kernels/delivery/http.c"],
    "cblas.h": ["kernels/cpu/linear.c"],
    "cminpack.h": ["core/*"],
    "cuda_runtime.h": ["kernels/cuda/cuda.h"],
    "cublasLt.h": ["kernels/cuda/linear_blas.cu"],
    "dlfcn.h": ["kernels/measure/backends.c", "kernels/cuda/nccl.cu", "kernels/cuda/nvml.cu"],
}
CORE_SYSTEM = {"assert.h", "float.h", "inttypes.h", "limits.h", "math.h", "stdarg.h", "stdbool.h",
               "stddef.h", "stdint.h", "stdio.h", "string.h", "strings.h", "cminpack.h"}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)


def includes(root):
    """(file, quote, included) of every include directive in core, server and kernels."""
    for path in files(root, {".c", ".h", ".cu", ".cpp"}, ("core", "server", "kernels")):
        for quote, name in INCLUDE.findall((root / path).read_text()):
            yield str(path), quote, name


def against_arrows(directives):
    against = []
    for path, quote, name in directives:
        if quote == "<":
            continue
        here, there = (str(pathlib.PurePosixPath(p).parent) for p in (path, name))
        if here not in MAY_INCLUDE:
            against.append(f"{path}: {here}/ is not in the house plan")
        elif name in GROUND and here.startswith("server"):
            continue
        elif there != here and there not in MAY_INCLUDE[here]:
            against.append(f"{path} includes {name}")
    return against


def main():
    root = pathlib.Path(sys.argv[1])
    directives = list(includes(root))
    report = Report()
    report.claim("there_are_includes_to_judge", [] if directives else ["none found"])
    report.claim("includes_run_down_only", against_arrows(directives))
    report.claim("project_headers_are_named_from_the_root",
                 [f"{path}: {name}" for path, quote, name in directives
                  if quote == '"' and not (root / name).exists()])
    for header, rooms in LIBRARIES.items():
        report.claim(f"{header}_is_included_only_where_it_belongs",
                     [path for path, _, name in directives if name == header
                      and not any(fnmatch.fnmatch(path, room) for room in rooms)])
    report.claim("core_includes_no_header_that_reaches_outside",
                 [f"{path} includes {name}" for path, quote, name in directives
                  if path.startswith("core/") and quote == "<" and name not in CORE_SYSTEM])
    report.finish()


if __name__ == "__main__":
    main()
