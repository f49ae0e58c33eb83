"""`meson install` puts everything in its place, and what is installed runs.

Usage: install.py BUILD
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "gate"))
from tap import Report  # noqa: E402

EXPECTED = ("bin/llmquote-server", "lib/systemd/system/llmquote-server.service",
            "share/doc/llmquote/README.md", "share/doc/llmquote/LICENSE",
            "share/doc/llmquote/fleet/slurm.sbatch", "share/llmquote/openapi.yaml")


def install(build, destination):
    done = subprocess.run(["meson", "install", "-C", build, "--no-rebuild"], capture_output=True,
                          text=True, env={**os.environ, "DESTDIR": destination})
    return [] if done.returncode == 0 else [done.stdout + done.stderr]


def options_of(build):
    shown = subprocess.run(["meson", "introspect", build, "--buildoptions"], capture_output=True,
                           text=True, check=True)
    return {one["name"]: one["value"] for one in json.loads(shown.stdout)}


def against_module(build, destination, options):
    """The CUDA module lies where the installed worker looks, if there is one."""
    folder = f"{options['prefix']}/{options['libdir']}/llmquote"
    installed = pathlib.Path(destination + folder) / "llmquote-cuda.so"
    is_built = (pathlib.Path(build) / "kernels/cuda/llmquote-cuda.so").is_file()
    worker = f"{destination}{options['prefix']}/bin/llmquote-worker"
    against = [] if is_built == installed.is_file() else [f"{installed}: {is_built}"]
    if not options["worker"] or os.path.exists(f"{folder}/llmquote-cuda.so"):
        return against
    said = subprocess.run([worker, "probe"], capture_output=True, text=True, timeout=60,
                          env={"HOME": destination})
    return against + ([] if f"nor in {folder};" in said.stdout else [said.stdout + said.stderr])


def against_unit(path, prefix):
    (start,) = re.findall(r"^ExecStart=(\S+)", path.read_text(), re.MULTILINE)
    against = [] if start == f"{prefix}/bin/llmquote-server" else [start]
    return against + (["a word was not filled in"] if "@bindir" in path.read_text() else [])


def serve(program, folder):
    """Starts the installed program with nothing else from here, and asks it."""
    process = subprocess.Popen([program, "--listen", "127.0.0.1:0"], cwd=folder,
                               env={"LLMQUOTE_DB": f"{folder}/llmquote.db"},
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = process.stdout.readline().strip().removeprefix("listening on http://")
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=30) as answer:
            against = [] if answer.status == 200 else [str(answer.status)]
        health = subprocess.run([program, "healthcheck", "--listen", address], capture_output=True,
                                text=True, timeout=30)
        return against + ([] if health.stdout == "ready\n" else [health.stderr])
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def main():
    build = sys.argv[1]
    report = Report()
    with tempfile.TemporaryDirectory(prefix="llmquote-install-") as folder:
        options = options_of(build)
        prefix = options["prefix"]
        root = pathlib.Path(folder) / prefix.lstrip("/")
        report.claim("meson_installs", install(build, folder))
        report.claim("all_files_are_in_their_places",
                     [name for name in EXPECTED if not (root / name).is_file()])
        report.claim("the_cuda_module_is_where_the_worker_looks",
                     against_module(build, folder, options))
        report.claim("the_unit_starts_what_was_installed",
                     against_unit(root / "lib/systemd/system/llmquote-server.service", prefix))
        report.claim("the_installed_server_serves",
                     serve(str(root / "bin" / "llmquote-server"), folder))
    report.finish()


if __name__ == "__main__":
    main()
