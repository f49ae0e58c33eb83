"""Collectives between a node's devices as `ceilings` and `probe --register` tell them, over a module
whose devices exchange data in memory. LQ_MODULES names it."""
import os

from cases_backends import module
from worker import expect


def ceilings(worker, *arguments, **variables):
    return worker.run("ceilings", "--backend", "cuda", "--cuda-backend", module("pretend-cuda"), *arguments,
                      **variables)


def rows_of(text, name):
    """The table's rows of a collective, as lists of columns."""
    return [line.split() for line in text.splitlines() if line.startswith(name + " ")]


def case_collectives_run_over_two_four_and_all_devices_of_a_kind(worker):
    done = ceilings(worker, PRETEND_TWINS="5")
    expect(done, 0, "pretended NCCL, fp32, 5 devices (1 of another kind left out)\n",
           "in an entry without pcie_generation would give this all_reduce\n")
    for name, share in (("all_reduce", 2), ("all_gather", 1), ("reduce_scatter", 1), ("all_to_all", 1)):
        rows = rows_of(done.stdout, name)
        assert [row[1] for row in rows] == ["2"] * 4 + ["4"] * 4 + ["5"] * 4 + ["2", "4", "5"], rows
        for row in rows[:12]:
            devices, size, us, bus = (float(field) for field in row[1:5])
            assert size > 0 and us > 0 and row[5] == "-", row
            moved = share * (devices - 1) / devices * size * 1e-3
            least, most = moved / (us + 0.005), moved / (us - 0.005)  # two decimals
            assert least - 0.005 <= bus <= most + 0.005, row


def case_estimates_of_a_catalog_entry_stand_beside_collectives(worker):
    server = worker.server()
    done = ceilings(worker, "--gpu", "A100-80GB-SXM", "--server", server.url, PRETEND_TWINS="4")
    expect(done, 0)
    hop, call, bus = 3.4, 8.4, 240.0  # us, us, GB/s: core/finetune/network.c on 600 GB/s
    for row in rows_of(done.stdout, "all_gather")[:-2]:
        members, size, estimated = int(row[1]), float(row[2]), float(row[5])
        want = call + (members - 1) * hop + (members - 1) / members * size / bus * 1e-3
        assert abs(estimated - want) < 0.01, (row, want)
    pair, four = rows_of(done.stdout, "all_reduce")[-2:]
    assert pair[4:] == ["15.20", "240.00"] and four[4:] == ["28.80", "240.00"], (pair, four)
    expect(ceilings(worker, "--gpu", "no-such", "--server", server.url, PRETEND_TWINS="2"), 65, "no-such")
    expect(ceilings(worker, "--gpu", "a/b", "--server", server.url), 64, "gpu")


def case_an_entry_that_cannot_be_asked_for_is_left_out(worker):
    nobody = {"LLMQUOTE_GPU": "A40", "LLMQUOTE_SERVER": "http://127.0.0.1:1"}
    done = ceilings(worker, PRETEND_TWINS="2", **nobody)
    expect(done, 0, "launch ", "all_reduce", "left out: what estimates take for A40: ")
    done = worker.run("ceilings", "--backend", "cpu", **nobody)  # where none stands beside anything
    expect(done, 0, "collectives take two\n")
    assert "A40" not in done.stderr, done


def case_why_there_are_no_collectives_is_said_and_the_rest_measured(worker):
    done = ceilings(worker)
    expect(done, 0, "launch ", "collectives      this node has one NVIDIA A40, and collectives take two\n")
    done = ceilings(worker, PRETEND_TWINS="2", PRETEND_GROUP="absent")
    expect(done, 0, "launch ", "collectives      NCCL is not installed: ")
    expect(worker.run("ceilings", "--backend", "cpu"), 0,
           "collectives      the cpu backend has one device, and collectives take two\n")


def case_a_library_that_is_none_is_refused_before_anything_is_measured(worker):
    folder = worker.folder
    fifo, text = folder / "fifo", folder / "text"
    os.mkfifo(fifo)
    text.write_text("no library\n")
    for path, why in (("/no/such.so", "No such file"), (fifo, "it is no file"), (folder, "it is no file"),
                      (text, "it is no shared object"), ("x" * 5000, "name too long")):
        for backend in (["--backend", "cpu"], ["--backend", "cuda", "--cuda-backend", module("pretend-cuda")]):
            done = worker.run("ceilings", *backend, "--nccl", str(path))
            expect(done, 71, "the NCCL library", why)
            assert "copy" not in done.stdout, done


def case_a_wrong_option_is_a_usage_fault_of_every_command(worker):
    for command in (["ceilings"], ["probe"], ["probe", "--register"], ["bench"],
                    ["measure", "--model", "llama-3.1-8b"]):
        for option in (["--backend", "abacus"], ["--gpu", "a b"]):
            expect(worker.run(*command, *option), 64, option[1] if option[0] == "--backend" else "gpu")


def case_collectives_that_are_wrong_or_fail_are_an_error(worker):
    done = ceilings(worker, PRETEND_TWINS="2", PRETEND_GROUP="wrong")
    expect(done, 71, "launch ", "all_reduce over 2 devices goes wrong: number 2041 of member 0 is ")
    done = ceilings(worker, PRETEND_TWINS="2", PRETEND_GROUP="lost 50")
    expect(done, 71, "launch ", "ncclGroupEnd: a device is lost")


def case_an_interconnect_is_registered_where_there_are_two(worker):
    server = worker.server("catalog:write")
    register = ["probe", "--register", "--backend", "cuda", "--cuda-backend", module("pretend-cuda"),
                *worker.at(server.url)]
    expect(worker.run(*register, PRETEND_TWINS="2"), 0, "registered: copies", ", interconnect ")
    assert server.get("/v1/gpus/nvidia-a40").json["interconnect_bytes_per_s"] > 1e6
    done = worker.run(*register, "--gpu", "other", PRETEND_TWINS="2", PRETEND_GROUP="absent")
    expect(done, 0, "left out: NCCL is not installed", "registered: copies")
    assert server.get("/v1/gpus/other").json["interconnect_bytes_per_s"] is None
