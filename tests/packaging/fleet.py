"""The job templates for fleets of GPUs say what their engines need, hold no secret, and call the
worker as it takes it: their scripts are run with a stand-in for the program, and what that was told
is told to the real one.

Usage: fleet.py ROOT [WORKER]
"""
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

import yaml

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "gate"))
from tap import Report  # noqa: E402

SBATCH_NEEDS = {"array": r"0-\d+", "gres": r"gpu:1", "ntasks": "1", "cpus-per-task": r"\d+",
                "mem": r"\d+G", "time": r"\d\d:\d\d:\d\d", "signal": r"B:TERM@\d+",
                "output": r".*%A.*%a.*", "job-name": r"llmquote"}
MODELS = 4  # tasks of each template
SECRET = re.compile(r"lq_[0-9A-Za-z]{8,}|LLMQUOTE_TOKEN\b(?!_FILE)|Bearer ", re.ASCII)
# Notes its arguments, one call a line; what stands before the image is docker's or apptainer's.
STAND_IN = """#!/bin/sh
for word in "$@"; do printf '%s\\037' "$word"; done >> "$CALLS"
echo >> "$CALLS"
[ "$1" != measure ] || exit "${FAILS:-0}"
"""


def sbatch_directives(path):
    """name -> value of every #SBATCH line, which must stand before the first command."""
    directives, is_over = {}, False
    for line in path.read_text().splitlines():
        if line.startswith("#SBATCH"):
            name, _, value = line.removeprefix("#SBATCH").strip().removeprefix("--").partition("=")
            directives[name] = None if is_over else value
        elif line and not line.startswith("#"):
            is_over = True
    return directives


def against_sbatch(path):
    directives = sbatch_directives(path)
    against = [f"--{name} is {directives.get(name)}" for name, pattern in SBATCH_NEEDS.items()
               if not re.fullmatch(pattern, directives.get(name) or "")]
    against += [f"--{name} stands behind a command" for name, value in directives.items()
                if value is None]
    if not path.read_text().startswith("#!/bin/bash\n"):
        against.append("it does not begin with its shell")
    if directives.get("array") != f"0-{MODELS - 1}":
        against.append(f"{directives.get('array')} are not {MODELS} tasks")
    return against


def lacks(where, have, want):
    return [f"{where}: {name} is {have.get(name)!r}" for name, value in want.items()
            if have.get(name) != value]


def against_kubernetes(job):
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    environment = {one["name"]: one for one in container["env"]}
    against = lacks("job", job, {"apiVersion": "batch/v1", "kind": "Job"})
    against += lacks("spec", spec, {"completionMode": "Indexed", "completions": MODELS})
    against += [f"no {name}" for name in ("ttlSecondsAfterFinished", "activeDeadlineSeconds",
                                          "backoffLimit") if not spec.get(name)]
    against += lacks("pod", pod, {"restartPolicy": "OnFailure", "automountServiceAccountToken": False})
    against += lacks("pod security", pod["securityContext"],
                     {"runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001,
                      "seccompProfile": {"type": "RuntimeDefault"}})
    against += lacks("container security", container["securityContext"],
                     {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                      "capabilities": {"drop": ["ALL"]}})
    against += lacks("limits", container["resources"]["limits"], {"nvidia.com/gpu": 1})
    if "nvidia.com/gpu.product" not in pod["nodeSelector"]:
        against.append("no kind of GPU is chosen")
    if set(mounts) != set(volumes):
        against.append(f"volumes {sorted(volumes)} are not those mounted, {sorted(mounts)}")
    if "secretName" not in volumes["token"].get("secret", {}) or not mounts["token"].get("readOnly"):
        against.append("the token is no read-only secret")
    for name, volume in (("LLMQUOTE_TOKEN_FILE", "token"), ("LLMQUOTE_SPOOL", "spool")):
        if not environment[name].get("value", "").startswith(mounts[volume]["mountPath"] + "/"):
            against.append(f"{name} is not in the volume {volume}")
    return against


def against_skypilot(task):
    against = [f"no {name}" for name in ("name", "resources", "envs", "file_mounts", "setup", "run")
               if not task.get(name)]
    if not re.fullmatch(r"[\w-]+:1", task["resources"].get("accelerators", "")):
        against.append(f"accelerators are {task['resources'].get('accelerators')}")
    if task["envs"].get("LLMQUOTE_SERVER", "") is not None:
        against.append("the server need not be given")
    return against + [f"the token is {path}" for path in task["file_mounts"].values()
                      if not path.startswith("~/")]


def stand_in(folder, *names):
    """Programs of these names on a path of their own; returns an environment that finds them."""
    for name in names:
        path = folder / name
        path.write_text(STAND_IN)
        path.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder),
            "CALLS": str(folder / "calls"), "LLMQUOTE_SERVER": "http://127.0.0.1:1",
            "LLMQUOTE_GPU": "A100-80GB-SXM", "LLMQUOTE_TOKEN_FILE": "/nowhere/token"}


def calls_of(command, environment):
    """What a script called, argument by argument, and what went wrong."""
    calls = pathlib.Path(environment["CALLS"])
    calls.write_text("")
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    said = [line.split("\037")[:-1] for line in calls.read_text().splitlines()]
    return said, [] if done.returncode == 0 else [f"{command[0]}: {done.returncode}: {done.stderr}"]


def slurm_calls(path, folder):
    environment = stand_in(folder, "llmquote-worker")
    for task in range(MODELS):
        yield calls_of(["bash", str(path)], {**environment, "SLURM_ARRAY_TASK_ID": str(task),
                                             "SLURM_ARRAY_JOB_ID": "7"})


def kubernetes_calls(job, folder):
    environment = stand_in(folder, "llmquote-worker")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    for task in range(MODELS):
        yield calls_of(container["command"] + container["args"],
                       {**environment, "JOB_COMPLETION_INDEX": str(task)})


def skypilot_calls(task, folder):
    environment = {**stand_in(folder, "docker"), "LLMQUOTE_IMAGE": task["envs"]["LLMQUOTE_IMAGE"]}
    said, against = calls_of(["bash", "-c", task["run"]], environment)
    yield [call[call.index(environment["LLMQUOTE_IMAGE"]) + 1:] for call in said], against


def against_calls(runs, known_models):
    """Every task probes and measures a model of its own; the catalog has all of them."""
    against, models = [], []
    for calls, failed in runs:
        against += failed
        if not calls or calls[0] != ["probe"]:
            against.append(f"it does not begin with a probe: {calls}")
        models += [call[call.index("--model") + 1] for call in calls if call[0] == "measure"]
    if len(models) != MODELS or len(set(models)) != MODELS:
        against.append(f"{models} are not {MODELS} models")
    return against + [f"the catalog has no {model}" for model in models if model not in known_models]


def against_worker(worker, runs):
    """Usage that the real program refuses (64); that there is no GPU and no server is not usage."""
    against = []
    with tempfile.TemporaryDirectory() as home:
        environment = {"HOME": home, "PATH": os.environ["PATH"], "LLMQUOTE_GIVE_UP": "0",
                       "LLMQUOTE_SERVER": "http://127.0.0.1:1",
                       "LLMQUOTE_CUDA_BACKEND": f"{home}/none.so"}
        for call in {tuple(call) for calls, _ in runs for call in calls}:
            done = subprocess.run([worker, *call], capture_output=True, text=True, timeout=60,
                                  env=environment)
            if done.returncode not in (0, 71):  # 71: no device
                against.append(f"{shlex.join(call)}: {done.returncode}: {done.stderr}")
    return against


def images_of(job, task, dockerfile, build):
    """Names of the worker's image that differ from the one that is built."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    built = "llmquote-" + dockerfile.name.removesuffix(".Dockerfile")
    against = [] if 'tag "llmquote-$name"' in build.read_text() else ["build.sh tags others"]
    return against + [name for name in (container["image"], task["envs"]["LLMQUOTE_IMAGE"])
                      if name != built]


def gpus_named(folder, job, task):
    """Ids of GPUs in the templates, comments included."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    slurm = re.findall(r"^#.* LLMQUOTE_GPU=(\S+)", (folder / "slurm.sbatch").read_text(), re.MULTILINE)
    skypilot = re.findall(r"^# +\S+:1 (\S+)$", (folder / "skypilot.yaml").read_text(), re.MULTILINE)
    kubernetes = [one["value"] for one in container["env"] if one["name"] == "LLMQUOTE_GPU"]
    return slurm, skypilot + [task["envs"]["LLMQUOTE_GPU"]], kubernetes


def against_gpus(root, named):
    rows = (root / "migrations/seed/gpus.csv").read_text().splitlines()
    known = {row.split(",")[0] for row in rows}
    against = [] if all(named) else [f"a template names no GPU: {named}"]
    return against + [id_ for ids in named for id_ in ids if id_ not in known]


def against_failure(path, folder):
    """A measurement that fails is the task's failure, and what it has left is sent all the same."""
    environment = {**stand_in(folder, "llmquote-worker"), "FAILS": "71", "SLURM_ARRAY_TASK_ID": "0",
                   "SLURM_ARRAY_JOB_ID": "7"}
    calls, said = calls_of(["bash", str(path)], environment)
    return [] if calls[-1] == ["deliver"] and "bash: 71: " in said[0] else [f"{calls}: {said}"]


def main():
    root = pathlib.Path(sys.argv[1])
    folder = root / "docker" / "fleet"
    sbatch = folder / "slurm.sbatch"
    job = yaml.safe_load((folder / "kubernetes.yaml").read_text())
    task = yaml.safe_load((folder / "skypilot.yaml").read_text())
    models = {path.stem for path in (root / "migrations/seed/models").glob("*.json")}
    report = Report()
    report.claim("the_slurm_job_is_an_array_with_a_gpu_each", against_sbatch(sbatch))
    report.claim("the_kubernetes_job_is_indexed_and_locked_down", against_kubernetes(job))
    report.claim("the_skypilot_task_takes_kind_and_server_from_outside", against_skypilot(task))
    report.claim("no_template_holds_a_secret",
                 [f"{path.name}: {line}" for path in folder.iterdir()
                  for line in path.read_text().splitlines() if SECRET.search(line)])
    report.claim("all_templates_run_the_image_that_is_built",
                 images_of(job, task, root / "docker/worker.Dockerfile", root / "docker/build.sh"))
    report.claim("all_gpus_that_are_named_are_in_the_catalog",
                 against_gpus(root, gpus_named(folder, job, task)))
    with tempfile.TemporaryDirectory() as home:
        runs = {name: list(calls) for name, calls in (
            ("slurm", slurm_calls(sbatch, pathlib.Path(home))),
            ("kubernetes", kubernetes_calls(job, pathlib.Path(home))),
            ("skypilot", skypilot_calls(task, pathlib.Path(home))))}
        report.claim("a_task_of_slurm_that_fails_says_so_and_delivers",
                     against_failure(sbatch, pathlib.Path(home)))
    for name, calls in runs.items():
        report.claim(f"each_task_of_{name}_measures_a_model_of_its_own", against_calls(calls, models))
        if len(sys.argv) > 2:
            report.claim(f"the_worker_takes_what_{name}_tells_it", against_worker(sys.argv[2], calls))
    report.finish()


if __name__ == "__main__":
    main()
