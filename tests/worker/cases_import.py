"""Importing as a user does it: what is printed, kept and sent, and the exit codes."""
import json
import pathlib

from worker import expect, stores

LOGS = pathlib.Path(__file__).resolve().parent / "logs"
SAID = ["--gpu", "A40", "--source", "lab"]


def case_a_dry_run_prints_points_and_keeps_nothing(worker):
    done = worker.run("import", "--dry-run", "--spool", str(worker.spool), *SAID,
                      str(LOGS / "torchtune-lora"), str(LOGS / "table.csv"))
    expect(done, 0)
    points = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["source"] for one in points] == ["lab", "lab", "lab"], points
    assert points[0]["model"] == "llama-3.1-8b", points
    assert "rank 8 (torchtune_config.yaml)" in done.stderr, done.stderr
    assert "says A100-80GB-SXM; taken is A40" in done.stderr, done.stderr
    assert not worker.spool.exists() or not any(worker.spool.iterdir())


def case_points_hold_no_path(worker):
    done = worker.run("import", "--dry-run", *SAID, str(LOGS / "torchtune-lora"))
    expect(done, 0)
    assert str(LOGS) not in done.stdout and "/tmp/" not in done.stdout, done.stdout


def case_a_bad_file_keeps_no_other_from_being_sent(worker):
    fake = worker.fake(stores)
    done = worker.run("import", "--server", fake.url, "--spool", str(worker.spool),
                      "--token-file", str(worker.token_file), *SAID, str(LOGS / "hf-unfinished"),
                      str(LOGS / "hf-full"), "/nowhere")
    expect(done, 65, "hf-unfinished: no train_runtime", "cannot read /nowhere",
           "delivered 1 points")
    assert [one["gpu_count"] for one in fake.requests[0].json["points"]] == [8]


def case_without_a_path_it_is_wrong_usage(worker):
    expect(worker.run("import"), 64, "import takes files or folders")
    expect(worker.run("import", "--model", "x" * 200, "f"), 64, "--model takes at most 159 bytes")


def case_a_real_server_takes_every_sample(worker):
    server = worker.server()
    for options in ([str(LOGS / "hf-full"), str(LOGS / "torchtune-lora"),
                     str(LOGS / "llamafactory-qlora"), str(LOGS / "table.csv")],
                    ["--gpu-count", "4", "--lengths", "xia2024-math", "--row-tokens", "161",
                     str(LOGS / "torchtune-full")]):
        done = worker.run("import", "--server", server.url, "--spool", str(worker.spool),
                          "--token-file", str(worker.token_file), *SAID, *options)
        expect(done, 0, "rejected 0, 0 wait")
