"""Dockerfiles, the compose file and the systemd unit say what keeps a service in its place.

Usage: docker.py ROOT
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import yaml

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "gate"))
from tap import Report  # noqa: E402

UNIT_NEEDS = {
    "DynamicUser": "yes", "StateDirectory": "llmquote", "NoNewPrivileges": "yes",
    "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes",
    "CapabilityBoundingSet": "", "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces": "yes", "MemoryDenyWriteExecute": "yes", "LockPersonality": "yes",
    "SystemCallArchitectures": "native", "UMask": "0077"}
FEWEST_TASKS = 2 * 256 + 64  # the most --threads and --job-threads, and what stands beside them
MOST_EXPOSURE = 20  # tenths, of systemd-analyze security; 10.0 is everything, below 2.0 is "OK"


def instructions(path):
    """(word, rest) of a Dockerfile, lines joined, comments left out."""
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def against_dockerfile(path):
    steps = instructions(path)
    last = steps[max(i for i, (word, _) in enumerate(steps) if word == "FROM"):]
    final = dict(last)
    against = []
    if steps[0] != ("ARG", "BASE=debian:12"):
        against.append("does not begin with ARG BASE=debian:12")
    stages = [rest for word, rest in steps if word == "FROM"]
    if ("ARG", "CUDA=${BASE}") in steps:  # nothing of CUDA's unless asked for
        against += [] if stages.pop(0) == "${CUDA} AS cuda" else ["has no stage of its own for CUDA"]
    if stages != ["${BASE} AS build", "${BASE}"]:
        against.append("is not built from BASE in two stages")
    if not re.fullmatch(r"[1-9]\d+:[1-9]\d+", final.get("USER", "")):
        against.append("does not end as a numbered user that is not root")
    if any(word == "RUN" and re.search(r"\bgcc\b|-dev\b|\bcurl\b", rest) for word, rest in last):
        against.append("takes build tools or curl into the image")
    if "VOLUME" not in final or not final["ENTRYPOINT"].startswith("["):
        against.append("has no VOLUME or an ENTRYPOINT by shell")
    return [f"{path.name} {one}" for one in against]


def against_server_image(path):
    final = dict(instructions(path))
    health = json.loads(final["HEALTHCHECK"].partition("CMD ")[2])
    return [] if (health == ["llmquote-server", "healthcheck"] and final["VOLUME"] == "/data"
                  and "LLMQUOTE_DB=/data/" in final["ENV"]) else [str(final)]


def against_service(name, service):
    against = []
    if service.get("read_only") is not True:
        against.append("its file system can be written")
    if service.get("cap_drop") != ["ALL"]:
        against.append("it has capabilities")
    if "no-new-privileges:true" not in service.get("security_opt", []):
        against.append("it may gain privileges")
    if service.get("privileged") or service.get("network_mode") == "host":
        against.append("it shares the host")
    against += [f"port {port} is open to the network" for port in service.get("ports", [])
                if not port.startswith("127.0.0.1:")]
    return [f"{name}: {one}" for one in against]


def missing_files(folder, compose):
    named = [volume.split(":")[0] for service in compose["services"].values()
             for volume in service.get("volumes", [])]
    named += [service["build"]["dockerfile"].removeprefix("docker/")
              for service in compose["services"].values() if "build" in service]
    return [name for name in named if name not in compose["volumes"]
            and not (folder / name).exists()]


def against_patience(root, image, compose):
    """The health check gives up, and says why, before Docker does; what its comment says is so."""
    source = (root / "server" / "command_health.c").read_text()
    own_s, told_s = re.search(r"PATIENCE_S = (\d+), /\*.*?under the (\d+) s that", source).groups()
    image_s = re.search(r"--timeout=(\d+)s", dict(instructions(image))["HEALTHCHECK"]).group(1)
    compose_s = compose["services"]["server"]["healthcheck"]["timeout"].removesuffix("s")
    return [] if int(own_s) < int(told_s) and told_s == image_s == compose_s else [
        f"{own_s} s, said to be under {told_s} s; the image has {image_s} s, compose {compose_s} s"]


def untagged(compose):
    """Images of others without a version, which may become another program overnight."""
    return [service["image"] for service in compose["services"].values()
            if "build" not in service and not re.search(r":v?\d+\.\d+\.\d+$", service["image"])]


def registries(compose, paths):
    """Names of images that hold a host."""
    named = [service["image"] for service in compose["services"].values()]
    named += [rest.split()[0] for path in paths for word, rest in instructions(path)
              if word == "FROM"]
    return [name for name in named if re.match(r"[^/]*[.:][^/]*/", name)]


def unit_settings(path):
    settings = {}
    for line in path.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            settings.setdefault(key, []).append(value)
    return settings


def against_unit(path):
    settings = unit_settings(path)
    against = [f"{key} is {settings.get(key)}, not {value!r}" for key, value in UNIT_NEEDS.items()
               if settings.get(key) != [value]]
    filters = settings.get("SystemCallFilter", [""])
    if filters[0] != "@system-service":
        against.append("system calls are not filtered")
    if any("@resources" in one for one in filters) and filters[-1] != "setpriority":
        against.append("rebuilds cannot lower their priority")
    if int(settings["TasksMax"][0]) < FEWEST_TASKS:
        against.append(f"TasksMax is below {FEWEST_TASKS}")
    return against


def against_systemd(path):
    """What systemd itself says of the unit, where it is installed."""
    if shutil.which("systemd-analyze") is None:
        return []
    with tempfile.TemporaryDirectory() as folder:
        unit = pathlib.Path(folder) / "llmquote-server.service"
        unit.write_text(path.read_text().replace("@bindir@/llmquote-server", "/bin/true")
                        .replace("@docdir@", "/usr/share/doc/llmquote"))
        verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True,
                                  text=True, timeout=60)
        secure = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                                 f"--threshold={MOST_EXPOSURE}", str(unit)], capture_output=True,
                                text=True, timeout=60)
    # without a running systemd only lines about our own unit count
    against = [line for line in verified.stderr.splitlines() if "llmquote" in line]
    return against + ([secure.stdout[-300:] + secure.stderr] if secure.returncode != 0 else [])


def main():
    folder = pathlib.Path(sys.argv[1]) / "docker"
    images = [folder / "server.Dockerfile", folder / "worker.Dockerfile"]
    compose = yaml.safe_load((folder / "compose.yaml").read_text())
    prometheus = yaml.safe_load((folder / "prometheus.yaml").read_text())
    unit = folder / "systemd" / "llmquote-server.service.in"
    report = Report()
    for path in images:
        report.claim(f"{path.stem}_image_is_small_and_without_root", against_dockerfile(path))
    report.claim("the_server_image_keeps_its_data_and_asks_for_its_health",
                 against_server_image(images[0]))
    for name, service in compose["services"].items():
        report.claim(f"the_container_{name}_is_locked_down", against_service(name, service))
    report.claim("there_are_a_server_a_worker_and_prometheus",
                 sorted({"server", "worker", "prometheus"} ^ set(compose["services"])))
    report.claim("the_server_is_asked_for_its_health",
                 [] if compose["services"]["server"]["healthcheck"]["test"]
                 == ["CMD", "llmquote-server", "healthcheck"] else ["it is not"])
    report.claim("all_files_that_are_named_exist", missing_files(folder, compose))
    report.claim("the_health_check_gives_up_before_docker_does",
                 against_patience(folder.parent, images[0], compose))
    report.claim("images_of_others_have_a_version", untagged(compose))
    report.claim("the_server_container_holds_all_its_threads",
                 [] if compose["services"]["server"]["pids_limit"] >= FEWEST_TASKS else ["it does not"])
    report.claim("no_registry_host_is_named", registries(compose, images))
    (job,) = prometheus["scrape_configs"]
    report.claim("prometheus_scrapes_the_server",
                 [] if job["metrics_path"] == "/metrics"
                 and job["static_configs"] == [{"targets": ["server:8080"]}] else [str(job)])
    report.claim("the_unit_is_hardened", against_unit(unit))
    report.claim("systemd_takes_the_unit_and_finds_it_little_exposed", against_systemd(unit))
    report.finish()


if __name__ == "__main__":
    main()
