"""The CUDA backend's module: found, loaded, refused with a reason, and measured over, with modules
that pretend and with the backend itself on the shim. LQ_MODULES names them."""
import json
import os
import pathlib
import re
import shutil

from cases_measure import TINY
from worker import Skip, expect

MODULES = {pathlib.Path(path).stem: path for path in os.environ["LQ_MODULES"].split(":")}
QUICK = ["--seconds", "0.01", "--rounds", "1", "--sequence-tokens", "8"]
NO_DRIVER = "there is no NVIDIA driver on this machine"
OLD_DRIVER = ("the NVIDIA driver serves CUDA up to 12.4, and this needs 13.0: install a newer driver")


def module(name):
    if name not in MODULES:
        raise Skip(f"{name} is not built here")
    return MODULES[name]


def model_file(worker):
    path = worker.folder / "model.json"
    path.write_text(json.dumps(TINY))
    return path


def measure(worker, backend, *arguments, **variables):
    """A dry run on a backend; "" for whichever is the best."""
    return worker.run("measure", "--dry-run", "--model-file", model_file(worker), *QUICK, *arguments,
                      LLMQUOTE_BACKEND=backend, **variables)


def move_program(worker, folder):
    """Nothing that the build left is beside it any more."""
    folder.mkdir()
    worker.program = shutil.copy(worker.program, folder)


def points_of(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


# Probing

def case_a_module_is_listed_with_its_version_and_devices(worker):
    done = worker.run("probe", "--cuda-backend", module("pretend-cuda"))
    expect(done, 0, "cuda: pretended runtime 13.0\n", "cuda 0: NVIDIA A40,", "; id nvidia-a40\n",
           "cuda 1: NVIDIA A100-SXM4-80GB,", "; id nvidia-a100-sxm4-80gb\n", "\ncpu 0: ")
    assert done.stderr == "", done.stderr


def case_the_shim_is_a_device(worker):
    done = worker.run("probe", LLMQUOTE_CUDA_BACKEND=module("pretend-shim"))
    expect(done, 0, "cuda: CUDA runtime 13.0\n",
           "cuda 0: NVIDIA pretend device, 2 multiprocessors, 1.0 GiB, Ampere 8.0, CUDA 13.0; "
           "id nvidia-pretend-device\n")


def case_why_there_is_no_device_is_said_and_the_cpu_offered(worker):
    shim = module("pretend-shim")
    for status, why in ((34, NO_DRIVER), (35, OLD_DRIVER), (100, NO_DRIVER)):
        variables = {"LLMQUOTE_CUDA_BACKEND": shim, "PRETEND_STATUS": str(status)}
        done = worker.run("probe", **variables)
        expect(done, 0, f"cuda: no device: {why}\n", "\ncpu 0: ")
        done = measure(worker, "cuda", **variables)
        expect(done, 71, why, "; --backend cpu takes this machine's cores")
        assert done.stdout == "", done.stdout
    expect(worker.run("probe", LLMQUOTE_CUDA_BACKEND=shim, PRETEND_DEVICES="0"), 0,
           "cuda: no device: the NVIDIA driver sees no device")


def case_a_build_without_the_module_says_so(worker):
    move_program(worker, worker.folder / "bin")
    done = worker.run("probe")
    if "cuda: no device: this build has no CUDA module" not in done.stdout:
        raise Skip("a module is installed")
    expect(done, 0, "llmquote-cuda.so is neither beside the program nor in /", "nvcc of CUDA 13",
           "\ncpu 0: ")
    done = measure(worker, "cuda")
    expect(done, 71, "no CUDA module", "--backend cpu")
    done = measure(worker, "", "--batch-sizes", "1")  # no module, nothing to be told
    expect(done, 0)
    assert "CUDA" not in done.stderr, done.stderr


def case_the_module_is_found_beside_the_program_or_in_the_build(worker):
    move_program(worker, worker.folder / "bin")
    for place in ("bin", "cuda"):
        beside = worker.folder / place / "llmquote-cuda.so"
        beside.parent.mkdir(exist_ok=True)
        shutil.copy(module("pretend-cuda"), beside)
        expect(worker.run("probe"), 0, "cuda: pretended runtime 13.0")
        beside.unlink()


def case_a_file_that_is_no_module_is_refused_with_a_reason(worker):
    garbage = worker.folder / "garbage.so"
    garbage.write_text("not a module\n" * 100)
    whole = pathlib.Path(module("pretend-cuda")).read_bytes()
    cut = worker.folder / "cut.so"
    cut.write_bytes(whole[:len(whole) // 2])
    fifo = worker.folder / "fifo.so"
    os.mkfifo(fifo)
    needy = worker.folder / "needy.so"  # asks for a library that is not there
    needy.write_bytes(whole.replace(b"\0libopenblas.so.0\0", b"\0libcublasLt.so.0\0"))
    for path, why in ((worker.folder / "none.so", "No such file or directory"),
                      (garbage, "it is no shared object"),
                      (cut, "it is cut short"),
                      (fifo, "it is no file"),
                      (worker.folder, "it is no file"),
                      (needy, "libcublasLt.so.0: cannot open shared object file"),
                      (module("wrong-module"), "it has no lq_cuda_backend_3: it is of another "
                                               "version of llmquote")):
        done = worker.run("probe", "--cuda-backend", path)
        expect(done, 0, "cuda: no device: the CUDA module ", " cannot be loaded: ", why, "\ncpu 0: ")
        expect(measure(worker, "cuda", "--cuda-backend", path), 71, why, "--backend cpu")


def case_a_better_device_that_is_passed_over_is_told(worker):
    done = measure(worker, "", "--batch-sizes", "1", LLMQUOTE_CUDA_BACKEND=module("pretend-cuda"),
                   PRETEND_REFUSAL=OLD_DRIVER)
    expect(done, 0, f"{OLD_DRIVER}; the cpu backend is used in its place\n")
    assert len(points_of(done)) == 1, done.stdout
    done = measure(worker, "", "--batch-sizes", "1", LLMQUOTE_CUDA_BACKEND=module("pretend-cuda"))
    expect(done, 0)
    (one,) = points_of(done)
    assert one["gpu"] == "nvidia-a40", one


# Measuring

def case_of_two_kinds_of_gpus_the_one_asked_for_measures(worker):
    for device, name in (("0", "nvidia-a40"), ("1", "nvidia-a100-sxm4-80gb")):
        done = measure(worker, "cuda", "--device", device, "--batch-sizes", "1", "--cuda-backend",
                       module("pretend-cuda"))
        expect(done, 0)
        (one,) = points_of(done)
        assert one["gpu"] == name and one["device"]["name"].lower().startswith(name[:9].replace("-", " ")), one
    expect(measure(worker, "cuda", "--device", "2", "--cuda-backend", module("pretend-cuda")), 71,
           "backend cuda has 2 devices; there is no number 2")


def case_ceilings_are_those_of_the_module(worker):
    done = worker.run("ceilings", "--backend", "cuda", "--cuda-backend", module("pretend-cuda"))
    expect(done, 0, "copy ", "matmul ", "dequantization ", "launch ")
    assert "tf32" not in done.stdout and "fp8" not in done.stdout, done.stdout


def case_ceilings_are_of_every_arithmetic_that_is_offered(worker):
    done = worker.run("ceilings", "--backend", "cuda", "--cuda-backend", module("pretend-cuda"),
                      PRETEND_ARITHMETICS="1")
    expect(done, 0)
    for name in ("matmul", "matmul tf32", "matmul fp8"):
        (rate,) = re.findall(rf"^{name} +([\d.]+) GFLOP/s$", done.stdout, re.MULTILINE)
        assert float(rate) > 0.1, done.stdout


def case_every_arithmetic_that_is_offered_is_registered(worker):
    server = worker.server("catalog:write")
    expect(worker.run("probe", "--register", "--backend", "cuda", "--cuda-backend",
                      module("pretend-cuda"), *worker.at(server.url), PRETEND_ARITHMETICS="1"),
           0, "registered: copies")
    gpu = server.get("/v1/gpus/nvidia-a40").json
    assert gpu["tf32_flop_per_s"] > 1e8 and gpu["fp8_flop_per_s"] > 1e8, gpu


def case_a_step_is_measured_over_the_shim(worker):
    for method in ("full", "qlora"):
        done = measure(worker, "cuda", "--batch-sizes", "1", "--methods", method, "--cuda-backend",
                       module("pretend-shim"))
        expect(done, 0, "measured 1 points")
        (one,) = points_of(done)
        assert one["precision"] == "bf16" and one["gpu"] == "nvidia-pretend-device", one
        assert one["step_time_s"] > 0 and one["peak_memory_bytes"] > 0, one
        assert one["device"]["driver"] == "CUDA 13.0" and one["device"]["capability"] == "8.0", one


def case_what_the_device_cannot_compute_with_is_told(worker):
    done = measure(worker, "cuda", "--cuda-backend", module("pretend-shim"), PRETEND_CAPABILITY="70")
    expect(done, 71, "NVIDIA pretend device has compute capability 7.0 and cannot compute with fp32")


def case_a_card_too_small_is_measured_up_to_what_fits(worker):
    done = measure(worker, "cuda", "--batch-sizes", "1,1000", "--methods", "full", "--cuda-backend",
                   module("pretend-shim"), PRETEND_MEMORY=str(2 << 20))
    expect(done, 0, "measured 1 points", "1 did not fit")
    assert [one["batch_size"] for one in points_of(done)] == [1], done.stdout


def case_points_from_before_a_device_was_lost_are_kept(worker):
    lost = 20
    while True:  # in the first point, then in the second
        done = measure(worker, "cuda", "--batch-sizes", "1,2", "--cuda-backend",
                       module("pretend-cuda"), PRETEND_LOST_AFTER=str(lost))
        expect(done, 71, "the device is lost")
        if points_of(done):
            break
        lost += lost // 2
    expect(done, 71, "measured 1 points")
    assert [one["batch_size"] for one in points_of(done)] == [1], done.stdout


# Operations by themselves

def case_operations_are_held_against_a_roofline_that_is_given(worker):
    arguments = ["bench", "--explain", "--model-file", model_file(worker), "--tokens", "100",
                 "--flop-per-s", "1e12", "--bytes-per-s", "1e11"]
    done = worker.run(*arguments)
    expect(done, 0, "tiny qlora, 100 tokens, as given: 100.00 GB/s, 1000.00 GFLOP/s",
           "dequantize", "Nothing was run", "yardstick", "held against")
    said = json.loads(worker.run(*arguments, "--json").stdout)
    rows = {(row["operation"], row["shape"]): row for row in said["operations"]}
    norm = rows["norm forward", "100 x 64"]
    assert norm["bytes"] == 2 * 100 * 64 * 2 and norm["bound"] == "memory", norm  # bf16
    assert abs(norm["roofline_s"] - norm["bytes"] / 1e11) < 1e-15 and "median_s" not in norm, norm
    q = rows["linear forward", "100 x 64 -> 64"]
    assert q["flop"] == 2 * 100 * 64 * 64 and q["calls"] == 4, q  # q and o in two layers
    assert q["bound"] == "compute" and abs(q["roofline_s"] - q["flop"] / 1e12) < 1e-15, q


def case_operations_are_held_against_a_gpu_of_the_catalog(worker):
    server = worker.server()
    gpu = server.get("/v1/gpus/A100-80GB-SXM").json
    done = worker.run("bench", "--explain", "--json", "--gpu", "A100-80GB-SXM", "--server", server.url)
    expect(done, 0)
    said = json.loads(done.stdout)
    assert said["model"] == "mixtral-8x7b" and said["device"] == "A100-80GB-SXM", said["model"]
    assert said["roofline"]["flop_per_s"] == gpu["fp16_flop_per_s"], said["roofline"]
    assert said["roofline"]["bytes_per_s"] == gpu["memory_bandwidth_bytes_per_s"], said["roofline"]
    rows = {(row["operation"], row["shape"]): row for row in said["operations"]}
    experts = rows["linear forward", "1024 x 4096 -> 14336, 8 groups"]
    assert experts["bytes"] == 8 * 4096 * 14336 * 2 and experts["calls"] == 64, experts
    expect(worker.run("bench", "--explain", "--gpu", "no-such", "--server", server.url), 65, "no-such")
    for command in (["bench", "--explain", "--gpu", "A100-80GB-SXM"], ["ceilings", "--backend", "cpu"]):
        expect(worker.run(*command, "--model", "mixtral-8x7b", "--active-experts", "9", "--server", server.url),
               65, "--active-experts 9: mixtral-8x7b has 8 routed experts in a layer")


def case_operations_are_timed_with_their_share_of_the_roofline(worker):
    done = worker.run("bench", "--backend", "cuda", "--cuda-backend", module("pretend-cuda"),
                      "--model-file", model_file(worker), "--tokens", "16", "--seconds", "0.001",
                      "--method", "full", "--json")
    expect(done, 0)
    said = json.loads(done.stdout)
    assert said["device"] == "NVIDIA A40" and said["method"] == "full", said["device"]
    names = {row["operation"] for row in said["operations"]}
    assert {"linear weight gradient", "adamw", "attention backward", "loss forward"} <= names, names
    assert all(row["median_s"] > 0 and row["roofline_s"] > 0 and row["samples"] >= 5
               for row in said["operations"]), said


def case_wrong_usage_of_bench_is_told(worker):
    path = model_file(worker)
    for arguments, part in ((["--explain"], "either --gpu ID or both"),
                            (["--explain", "--flop-per-s", "1e12"], "either --gpu ID or both"),
                            (["--explain", "--gpu", "A40", "--flop-per-s", "1"], "either --gpu ID or both"),
                            (["--explain", "--gpu", "a/b"], "--gpu takes an id"),
                            (["--gpu", "A40"], "go with --explain"),
                            (["--method", "dora"], "--method takes full|lora|qlora")):
        done = worker.run("bench", "--model-file", path, *arguments)
        expect(done, 64, part)


# What does not measure does not load it.

def case_delivery_and_import_never_look_for_a_module(worker):
    loud = worker.folder / "loud.so"
    loud.write_text("garbage")
    for arguments in (["deliver", "--spool", worker.spool], ["--help"], ["--version"]):
        done = worker.run(*arguments, LLMQUOTE_CUDA_BACKEND=str(loud))
        expect(done, 0)
        assert not re.search("cuda", done.stderr, re.IGNORECASE), done.stderr
    expect(measure(worker, "cpu", "--batch-sizes", "1", LLMQUOTE_CUDA_BACKEND=str(loud)), 0)
