"""Probing, registering and measuring as a user does it, against a real server and none."""
import getpass
import json
import os
import re
import signal
import socket
import subprocess
import time

from worker import HTML, answer, expect, problem, wait_for

DENSE = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
         "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
         "intermediate_size": 128, "vocab_size": 256, "max_position_embeddings": 4096,
         "tie_word_embeddings": False}
MOE = {"architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_size": 64,
       "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
       "intermediate_size": 128, "num_local_experts": 8, "num_experts_per_tok": 2,
       "vocab_size": 256, "max_position_embeddings": 4096, "tie_word_embeddings": False}
# As GET /v1/models/tiny answers for DENSE, as far as the worker reads it.
TINY = {"id": "tiny", "hidden_size": 64, "vocab_size": 256, "tied_embeddings": False,
        "parameters": {"embedding": 16384, "head": 16384}, "context_tokens": 4096,
        "layer_kinds": [{"count": 2, "norm_parameters": 128,
                         "mixer": {"kind": "attention", "heads": 4, "kv_heads": 2, "head_size": 16},
                         "ffn": {"kind": "dense", "gated": True, "intermediate_size": 128}}]}
QUICK = ["--seconds", "0.01", "--rounds", "1"]
SMALL = [*QUICK, "--batch-sizes", "1", "--sequence-tokens", "32"]
UNFIT = "1000000"  # rows of a step: 128 GB for each activation at 512 tokens and a width of 64


def device_id(worker):
    (id_,) = re.findall(r"^cpu 0: .*; id (.+)$", worker.run("probe").stdout, re.MULTILINE)
    return id_


def prepared(worker, **models):
    """A real server that knows this machine and these models."""
    server = worker.server("calibrations:write", "catalog:write")
    bearer = server.bearer("calibrations:write", "catalog:write")
    gpu = {"vendor": "Intel", "architecture": "x86_64", "memory_bytes": 8e9,
           "memory_bandwidth_bytes_per_s": 2e10, "fp32_flop_per_s": 1e11, "fp16_flop_per_s": 1e11}
    made = server.put(f"/v1/gpus/{device_id(worker)}", gpu, bearer)
    assert made.status in (200, 201), made
    for name, config in models.items():
        made = server.put(f"/v1/models/{name}", config, bearer)
        assert made.status in (200, 201), made
    return server


def model_file(worker, **changes):
    path = worker.folder / "model.json"
    path.write_text(json.dumps({**TINY, **changes}))
    return path


def dry(worker, *arguments, **changes):
    """Points of a run that asks no server."""
    done = worker.run("measure", "--dry-run", "--model-file", model_file(worker, **changes), *arguments)
    expect(done, 0)
    return [json.loads(line) for line in done.stdout.splitlines()]


def stored(server, model):
    server.settle()
    points = server.get(f"/v1/calibrations?model={model}&limit=100").json["calibrations"]
    return [server.get(f"/v1/calibrations/{one['id']}").json for one in points]


# Probing

def case_probe_prints_the_device_without_a_server(worker):
    done = worker.run("probe", "--server", "http://127.0.0.1:1")
    expect(done, 0)
    assert re.search(r"^cpu: .+\ncpu 0: .+, \d+ cores, [\d.]+ GiB, .+; id [a-z0-9.-]+\n\Z", done.stdout,
                     re.MULTILINE), done.stdout
    assert done.stderr == ""


def case_probe_registers_the_device_once(worker):
    server = worker.server("catalog:write")
    said = worker.run("probe", "--register", *worker.at(server.url))
    expect(said, 0, "measuring", "registered: copies")
    gpu = server.get(f"/v1/gpus/{device_id(worker)}").json
    assert gpu["memory_bytes"] > 1e8 and gpu["memory_bandwidth_bytes_per_s"] > 1e8, gpu
    assert gpu["fp32_flop_per_s"] > 1e8, gpu
    assert gpu["provenance"]["source"].startswith("measured by llmquote-worker"), gpu
    expect(worker.run("probe", "--register", *worker.at(server.url)), 0,
           f"{device_id(worker)} is in the catalog already")
    expect(worker.run("probe", "--register", "--gpu", "L40S", *worker.at(server.url)), 0,
           "L40S is in the catalog already")


def case_registering_needs_a_server_and_a_token_with_the_scope(worker):
    done = worker.run("probe", "--register")
    expect(done, 77, "needs a token")
    expect(worker.run("probe", "--register", "--server", "http://127.0.0.1:1", "--token-file",
                      worker.token_file), 69, "127.0.0.1")
    for status, code, text in ((401, 77, "the token is unknown"), (400, 65, "no id has that")):
        fake = worker.fake(problem(status, text))
        expect(worker.run("probe", "--register", *worker.at(fake.url)), code, text)
        assert len(fake.requests) == 1, fake.requests
    fake = worker.fake(problem(404, "no GPU has the id x"), problem(403, "scope catalog:write"))
    # an empty entry asks whether the token may, before anything is measured
    expect(worker.run("probe", "--register", *worker.at(fake.url)), 77, "scope catalog:write")
    assert [one.line.split()[0] for one in fake.requests] == ["GET", "PUT"], fake.requests
    assert fake.requests[1].headers["authorization"].startswith("Bearer "), "no token"
    assert fake.requests[1].json == {}, fake.requests[1].body


def case_what_is_no_llmquote_server_is_told_before_anything_is_measured(worker):
    for script in (answer(200, HTML), answer(404, HTML), None):
        fake = worker.fake(script)
        done = worker.run("measure", "--model", "tiny", *SMALL, *worker.at(fake.url))
        assert done.returncode in (65, 69), (done.returncode, done.stderr)
        assert "measured" not in done.stderr, done.stderr


def case_probing_takes_no_id_that_is_none(worker):
    expect(worker.run("probe", "--register", "--gpu", "a/b", "--token-file", worker.token_file), 64,
           '--gpu takes an id, got "a/b"')
    expect(worker.run("probe", "--register", "--backend", "abacus"), 64, '"abacus"')


# Measuring

def case_points_are_stored_once_with_everything_measured(worker):
    server = prepared(worker)
    for name, config, method in (("tiny-dense", DENSE, "full"), ("tiny-moe", MOE, "lora")):
        path = worker.folder / "config.json"
        path.write_text(json.dumps(config))
        done = worker.run("measure", "--model", name, "--model-config", path, "--methods", method, *QUICK,
                          "--batch-sizes", "1,2", "--sequence-tokens", "32", *worker.at(server.url))
        expect(done, 0, f"{name} {method}, batch 2 x 32 tokens: step", "measured 2 points",
               "delivered 2 points (0 are implausible), rejected 0")
        points = stored(server, name)
        assert sorted(one["batch_size"] for one in points) == [1, 2], points
        for one in points:
            assert one["stack"] == "llmquote-worker" and one["gpu"] == device_id(worker), one
            assert one["source"] == "llmquote-worker" and one["measured_at"], one
            assert one["step_time_s"] > 0 and one["peak_memory_bytes"] > 0, one
            document = one["document"]
            phases = document["phases"]
            assert all(phases[f"{name}_s"] > 0 for name in ("forward", "backward", "optimizer")), phases
            assert {"attention", "head", "optimizer"} <= set(phases["kernels"]), phases
            assert document["device"]["units"] >= 1 and document["device"]["driver"], document
            assert ("expert_load" in document) == (config is MOE), document
            if config is MOE:
                assert sum(document["expert_load"]) == one["batch_size"] * 32 * 2, document
                assert len(document["expert_load"]) == 8, document


def case_a_dry_run_prints_points_and_nothing_else_to_standard_output(worker):
    points = dry(worker, *QUICK, "--methods", "full,lora,qlora", "--batch-sizes", "1",
                 "--sequence-tokens", "16,32", "--skew", "3")
    assert [(one["method"]["kind"], one["sequence_tokens"]) for one in points] == [
        (kind, tokens) for kind in ("full", "lora", "qlora") for tokens in (16, 32)], points
    assert points[-1]["method"]["quantization"] == "nf4-dq", points[-1]
    assert "expert_load" not in points[0], points[0]
    assert not worker.spool.exists() and not (worker.folder / ".local").exists()


def case_no_name_of_host_or_user_is_in_a_point(worker):
    (one,) = dry(worker, *SMALL)
    text = json.dumps(one)
    for name in (socket.gethostname(), getpass.getuser(), str(worker.folder), worker.folder.name):
        words = re.findall(r"[\w.-]+", text)
        assert name not in words and (len(name) < 6 or name not in text), (name, text)


def case_a_skew_raises_the_variance_of_the_expert_load(worker):
    moe = {**TINY["layer_kinds"][0], "ffn": {"kind": "moe", "gated": True, "intermediate_size": 32,
                                             "experts": 8, "active_experts": 2}}
    arguments = [*QUICK, "--batch-sizes", "1", "--sequence-tokens", "512"]
    loads = [dry(worker, *arguments, "--skew", skew, layer_kinds=[moe])[0]["expert_load"]
             for skew in ("0", "1", "4")]
    variances = [sum((n / 1024 - 1 / 8) ** 2 for n in load) for load in loads]
    assert all(sum(load) == 1024 for load in loads), loads
    assert variances[0] < variances[1] < variances[2], (variances, loads)


def case_active_experts_are_swept(worker):
    moe = {**TINY["layer_kinds"][0], "ffn": {"kind": "moe", "gated": True, "intermediate_size": 32,
                                             "experts": 8, "active_experts": 2}}
    points = dry(worker, *SMALL, "--active-experts", "4,1", layer_kinds=[moe])
    assert [(one["active_experts"], sum(one["expert_load"])) for one in points] == [(1, 32), (4, 128)]


def case_wrong_usage_is_told_before_anything_is_asked_or_measured(worker):
    path = model_file(worker)
    for arguments, code, part in (
            (["--model", "m", "--methods", "dora"], 64, "--methods takes of full lora qlora"),
            (["--model", "m", "--batch-sizes", "0"], 64, "--batch-sizes takes whole numbers of 1 to"),
            (["--model", "m", "--batch-sizes", "1,,2"], 64, 'got ""'),
            (["--model", "m", "--sequence-tokens", "x"], 64, "--sequence-tokens takes whole numbers"),
            (["--model", "m", "--targets", "z"], 64, "--targets takes of q k v o"),
            (["--model", "m", "--rank", "0"], 64, "--rank takes N from 1"),
            (["--model", "a b"], 64, '--model takes an id, got "a b"'),
            (["--model", "m", "--gpu", "a/b"], 64, '--gpu takes an id, got "a/b"'),
            (["--model", "m", "--source", "my lab"], 64, '--source takes an id, got "my lab"'),
            ([], 64, "either --model ID or --model-file FILE"),
            (["--model", "m", "--model-file", path], 64, "either --model ID or --model-file FILE"),
            (["--model-file", path, "--model-config", path], 64, "--model-config needs --model"),
            (["--model-file", path, "--suggested", "1"], 64, "--suggested needs a server"),
            (["--model-file", path, "--active-experts", "1"], 65, "tiny has 0 routed experts"),
            (["--model-file", path, "--device", "9"], 71, "there is no number 9"),
            (["--model-file", path, "--backend", "abacus"], 64, '"abacus"'),
            (["--model-file", "/no/such/file"], 74, "/no/such/file")):
        done = worker.run("measure", *arguments, "--server", "http://127.0.0.1:1", "--spool", worker.spool)
        expect(done, code, part)
        assert done.stdout == "" and "measured" not in done.stderr, done
    assert not worker.spool.exists()


def case_a_model_file_that_is_none_is_told(worker):
    path = worker.folder / "model.json"
    for text in ("", "{}", "[1]", json.dumps(DENSE), json.dumps(TINY)[:-40], "x" * 2000000):
        path.write_text(text)
        done = worker.run("measure", "--dry-run", "--model-file", path)
        assert done.returncode in (65, 74), (text[:40], done)
    path.write_text(json.dumps({**TINY, "hidden_size": 10**9}))
    expect(worker.run("measure", "--dry-run", "--model-file", path), 65, "must be 1..")


def case_the_catalog_is_asked_before_anything_is_measured(worker):
    server = prepared(worker, tiny=DENSE)
    expect(worker.run("measure", "--model", "nothing", *SMALL, *worker.at(server.url)), 65, "nothing")
    done = worker.run("measure", "--model", "tiny", "--gpu", "my-card", *SMALL, *worker.at(server.url))
    expect(done, 65, "no GPU my-card; `llmquote-worker probe --register --gpu my-card`")
    assert "measured" not in done.stderr, done.stderr
    done = worker.run("measure", "--model", "tiny", "--active-experts", "2", *SMALL,
                      *worker.at(server.url))
    expect(done, 65, "--active-experts 2: tiny has 0 routed experts")
    assert stored(server, "tiny") == []
    path = worker.folder / "config.json"
    path.write_text('{"model_type": "llama"}')
    expect(worker.run("measure", "--model", "bad", "--model-config", path, *SMALL, *worker.at(server.url)), 65)


def case_a_token_without_the_scope_is_told_before_measuring(worker):
    server = worker.server("calibrations:write")
    path = worker.folder / "config.json"
    path.write_text(json.dumps(DENSE))
    done = worker.run("measure", "--model", "tiny", "--model-config", path, *SMALL, *worker.at(server.url))
    expect(done, 77, "catalog:write")


def case_rejected_points_are_set_aside_and_told(worker):
    server = prepared(worker)
    done = worker.run("measure", "--model-file", model_file(worker), *SMALL, *worker.at(server.url))
    expect(done, 65, "measured 1 points", "rejected: /model", "delivered 0 points", "rejected 1, in")
    (aside,) = worker.rejected()
    assert "tiny" in json.dumps(aside), aside


def case_what_does_not_fit_is_left_out(worker):
    server = prepared(worker, tiny=DENSE)
    done = worker.run("measure", "--model", "tiny", *QUICK, "--batch-sizes", f"1,{UNFIT}",
                      "--sequence-tokens", "512,513", "--methods", "lora,full",
                      *worker.at(server.url))
    expect(done, 0, f"batch {UNFIT} x 512 tokens: does not fit", "larger ones are left out",
           "measured 4 points", ", 4 did not fit")
    assert len(stored(server, "tiny")) == 4, done.stderr


def case_where_nothing_fits_the_exit_code_says_so(worker):
    done = worker.run("measure", "--model-file", model_file(worker), "--dry-run", *QUICK,
                      "--batch-sizes", UNFIT, "--sequence-tokens", "4096,8192")
    expect(done, 71, "does not fit", "larger ones are left out", "measured 0 points", "2 did not fit",
           "nothing of what was asked for fits")
    assert done.stdout == ""


def case_an_interrupt_keeps_what_is_measured(worker):
    server = prepared(worker, tiny=DENSE)
    batches = ",".join(str(n) for n in range(1, 33))
    tokens = ",".join(str(n) for n in range(64, 96))
    process = worker.start("measure", "--model", "tiny", *QUICK, "--batch-sizes", batches,
                           "--sequence-tokens", tokens, *worker.at(server.url))
    first = process.stderr.readline() + process.stderr.readline()
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 130, (process.returncode, rest)
    assert time.monotonic() - begin < 30, "it did not end soon"
    told = (first + rest).count(": step ")
    assert f"measured {told} points" in rest and "; interrupted" in rest, (first, rest)
    assert 1 <= told < 1024, told
    expect(worker.run(*worker.delivery(server.url)), 0)
    assert len(stored(server, "tiny")) == min(told, 100), (told, rest)


def taken_by(server):
    """Points that the server has stored; its lists follow later."""
    return int(re.search(r'^llmquote_points_total\{outcome="stored"\} (\d+)$',
                         server.get("/metrics").body.decode(), re.MULTILINE)[1])


def case_a_server_that_goes_away_loses_nothing(worker):
    server = prepared(worker, tiny=DENSE)
    process = worker.start("measure", "--model", "tiny", "--seconds", "0.2", "--rounds", "1",
                           "--batch-sizes", "1,2,3,4,5,6,7,8", "--sequence-tokens", "32",
                           "--server", server.url, "--spool", worker.spool, "--token-file",
                           worker.token_file, "--give-up", "1")
    wait_for(lambda: taken_by(server), "a first point")
    taken = taken_by(server)
    assert server.stop() == 0
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 69, (process.returncode, errors)
    assert "measured 8 points" in errors and "points wait in the spool" in errors, errors
    assert taken < 8, "the server outlived the measurement; nothing is tried here"
    server.start()
    expect(worker.run(*worker.delivery("http://%s:%d" % server.address)), 0)
    points = stored(server, "tiny")
    assert sorted(one["batch_size"] for one in points) == list(range(1, 9)), points


def case_suggested_points_are_taken_until_none_would_help(worker):
    server = prepared(worker, tiny=DENSE)
    done = worker.run("measure", "--model", "tiny", "--suggested", "3", *QUICK, "--batch-sizes", "4",
                      "--sequence-tokens", "128", *worker.at(server.url))
    expect(done, 0, "measured")
    points = stored(server, "tiny")
    assert 1 <= len(points) <= 3, done.stderr
    assert f"measured {len(points)} points" in done.stderr, done.stderr
    assert all(one["stack"] == "llmquote-worker" for one in points), points


# Models

def case_every_model_of_the_catalog_is_read_as_the_server_has_it(worker):
    server = worker.server()
    ids = [one["id"] for one in server.get("/v1/models?limit=100").json["models"]]
    models = [server.get(f"/v1/models/{name}").json for name in ids]
    said = subprocess.run([os.environ["LQ_MODEL_SUMS"]], text=True, check=True, capture_output=True,
                          input="".join(json.dumps(one) + "\n" for one in models)).stdout.splitlines()
    assert len(models) >= 62 and len(said) == len(models), len(said)
    for line, one in zip(said, models):
        parts = one["parameters"]
        want = [one["id"], *(str(parts[name]) for name in ("experts", "linear", "router", "embedding",
                                                           "head")),
                str(one["layers"]), str(int(one["tied_embeddings"]))]
        assert line.split() == want, (line, want)
