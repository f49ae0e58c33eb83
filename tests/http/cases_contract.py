"""openapi.yaml against the running server: its routes, its examples, and a spread of real answers."""
import copy
import subprocess

import examples
from client import Connection
from contract import Contract

CONTRACT = Contract()
JOB = {"model": "mixtral-8x7b", "gpu": "A40", "method": examples.QLORA, "dataset": examples.MATH}
SPELLINGS = [{"name": "XIA2024-CS"}, {"fixed_tokens": 512}, {"histogram": [[100, 0], [200, 7]]},
             {"quantiles": {"min": 3, "p50": 174, "p99.9": 900, "max": 1470}},
             {"sample": [900, 20, 20, 512]}]


def asked(server, method, path, body=None, headers=None):
    """The answer, which must fit the contract."""
    answer = server.request(method, path, body, headers)
    CONTRACT.check_answer(method, path, answer)
    return answer


def estimated(server, job):
    CONTRACT.check_request("POST", "/v1/estimates", job)
    return asked(server, "POST", "/v1/estimates", job)


def with_dataset(**members):
    job = copy.deepcopy(JOB)
    job["dataset"].update(members)
    return job


# These two come first: the examples are those of a fresh database.

def case_the_examples_are_what_the_server_answers(server):
    """If they are not, and should be: tests/http/examples.py SERVER --write"""
    documented = CONTRACT.document["components"]["examples"]
    names = set()
    against = []
    for example in examples.EXAMPLES:
        answer = examples.ask(server, example)
        CONTRACT.check_answer(example.method, example.path, answer)
        assert answer.status == example.status, f"{example.name}: {answer}"
        names.add(example.name)
        against += [f"{example.name}{one}" for one in examples.differences(
            examples.shown(example, answer.json), documented[example.name]["value"], "")]
        if example.body is not None and not example.is_bad:
            names.add(f"{example.name}_request")
            assert documented[f"{example.name}_request"]["value"] == example.body
            CONTRACT.check_request(example.method, example.path, example.body)
    assert not against, "\n".join(against)
    assert names == set(documented), f"left over: {set(documented) - names}"


def case_every_example_is_shown_at_its_operation(server):
    shown = set()

    def walk(node):
        if isinstance(node, dict):
            if str(node.get("$ref", "")).startswith("#/components/examples/"):
                shown.add(node["$ref"].rpartition("/")[2])
            for below in node.values():
                walk(below)
        elif isinstance(node, list):
            for below in node:
                walk(below)

    walk(CONTRACT.document["paths"])
    assert shown == set(CONTRACT.document["components"]["examples"]), "shown and kept differ"


def case_every_answer_with_a_body_has_an_example(server):
    for (method, path), (_, operation) in CONTRACT.operations.items():
        for status, response in operation["responses"].items():
            content = CONTRACT.resolve(response).get("content", {})
            if status.startswith("2") and "application/json" in content:
                assert content["application/json"].get("examples"), f"{method} {path} {status}"


def case_the_routes_and_the_contract_are_equal(server):
    done = subprocess.run([server.program, "--print-routes"], capture_output=True, text=True,
                          check=True)
    routes = {tuple(line.split()) for line in done.stdout.splitlines()}
    assert routes == set(CONTRACT.operations), routes ^ set(CONTRACT.operations)


def case_the_server_serves_this_contract(server):
    assert asked(server, "GET", "/openapi.yaml").body == examples.CONTRACT.read_bytes(), \
        "build again: the contract is embedded"


def case_calls_with_a_scope_and_no_others_ask_for_a_token(server):
    for (method, path), (_, operation) in CONTRACT.operations.items():
        answer = server.request(method, path.replace("{id}", "x"))
        wanted = operation.get("security", CONTRACT.document["security"]) == [{"bearer": []}]
        assert (answer.status == 401) == wanted, f"{method} {path}: {answer}"


# Real answers, each against its schema

def case_all_estimators_fit(server):
    for gpu in ("A40", "A100-40GB-PCIe", "A100-80GB-PCIe", "H100-PCIe-80GB", "H100-SXM-80GB"):
        for estimator in ("default", "xia2024", "xia2024-printed", "measured"):
            for batch in ("max", 1, 2, 17):
                estimated(server, {**JOB, "gpu": gpu, "estimator": estimator, "batch_size": batch})


def case_all_spellings_of_lengths_fit(server):
    for lengths in SPELLINGS:
        for padding in ("longest", "fixed", "packed"):
            answer = estimated(server, with_dataset(lengths=lengths, padding=padding))
            assert answer.status == 200, answer
            estimated(server, {**with_dataset(lengths=lengths), "model": "blackmamba-2.8b",
                               "method": "full", "gpu_count": 8})


def case_all_settings_fit(server):
    for member, values in {
            "method": ["full", "lora", "qlora", {"kind": "lora", "train_embeddings": True},
                       {"kind": "qlora", "rank": 64, "targets": ["q", "v", "head"],
                        "quantization": "int8"}, {"kind": "lora", "targets": "attention"}],
            "precision": ["bf16", "fp16", "fp32", "fp8"],
            "optimizer": ["adamw", "adamw-8bit", "paged-adamw-8bit", "adafactor", "sgd"],
            "attention": ["flash", "eager"], "master_weights": [True, False],
            "gradient_checkpointing": [True, False, "selective"],
            "gradient_accumulation_steps": [1, 16], "active_experts": [1, 8],
            "gpu_count": [1, 2, 64], "epochs": [0.1, 3], "confidence": [0.01, 0.5, 0.999],
            "layout": ["auto", {"data": 1}, {"tensor": 2}, {"zero_stage": 3}],
            "node_gpu_count": [1, 8], "internode_gb_s": [1.5, 400],
            "expert_load": [[1, 2, 3, 4, 5, 6, 7, 8], {"variance": 22.5}],
            "optimizations": [[], ["compile", "offload-optimizer"]], "stack": ["hf-2024", "torchtune"],
            "usd_per_gpu_hour": [0.01, 100], "providers": [["vast"], ["cudo-2024", "cudo"]],
    }.items():
        for value in values:
            estimated(server, {**JOB, member: value})


def case_every_model_on_a_large_gpu_fits(server):
    models = asked(server, "GET", "/v1/models?limit=1000").json["models"]
    jobs = [{**JOB, "model": model["id"], "gpu": "B200", "method": method}
            for model in models for method in ("qlora", "full")]
    results = estimated(server, {"jobs": jobs}).json["results"]
    assert len(results) == len(jobs)
    for job, result in zip(jobs, results):
        assert result.get("model") == job["model"] or result["status"] == 422, result


def case_every_gpu_fits(server):
    gpus = asked(server, "GET", "/v1/gpus?limit=1000").json["gpus"]
    jobs = [{**JOB, "model": "llama-3.2-1b", "gpu": gpu["id"], "method": "lora"} for gpu in gpus]
    for job, result in zip(jobs, estimated(server, {"jobs": jobs}).json["results"]):
        assert result.get("gpu") == job["gpu"] or result["status"] == 422, result


def case_every_entry_of_every_list_fits(server):
    for name in ("models", "gpus", "datasets", "calibrations", "fits"):
        for page in pages(server, f"/v1/{name}?limit=40"):
            for entry in page[name]:
                asked(server, "GET", f"/v1/{name}/{entry['id']}")
    for name in ("prices", "providers", "stacks"):
        for page in pages(server, f"/v1/{name}?limit=7"):
            assert page[name]


def pages(server, path):
    page = asked(server, "GET", path).json
    yield page
    while page["next_cursor"] is not None:
        page = asked(server, "GET", f"{path}&cursor={page['next_cursor']}").json
        yield page


def case_stored_points_of_every_shape_fit(server):
    bearer = server.bearer("calibrations:write")
    base = {"model": "mixtral-8x7b", "gpu": "L40S", "method": examples.QLORA, "stack": "my-stack",
            "batch_size": 2}
    points = [{**base, "lengths": lengths, "padding": padding, "cutoff_tokens": 1024,
               "queries_per_s": 1 + i} for i, lengths in enumerate(SPELLINGS)
              for padding in ("longest", "fixed", "packed")]
    points += [{**base, "sequence_tokens": 2.56e2, "step_time_s": 1.5, "dataset": "mine",
                "active_experts": 1, "gpu_count": 4, "gradient_checkpointing": "selective",
                "gradient_accumulation_steps": 4, "expert_load": [1, 2.5, 0, 0, 0, 3, 1, 1], "note": "a note",
                "phases": {"forward_s": 0.5, "kernels": {"gemm": 0.2}}, "device": {}}]
    body = {"points": points}
    CONTRACT.check_request("POST", "/v1/calibrations", body)
    receipt = asked(server, "POST", "/v1/calibrations", body, bearer).json
    assert len(set(receipt["ids"])) == len(points) and receipt["duplicates"] == 0, receipt
    server.settle()
    case_every_entry_of_every_list_fits(server)
    asked(server, "GET", "/v1/validation")
    estimated(server, {**JOB, "gpu": "L40S", "stack": "my-stack"})
    for one in receipt["ids"]:
        assert asked(server, "DELETE", f"/v1/calibrations/{one}", None, bearer).status == 204


def case_own_models_and_gpus_fit(server):
    bearer = server.bearer("catalog:write")
    for model in ("qwen3-30b-a3b", "jamba-v0.1", "llama-4-scout"):
        config = asked(server, "GET", f"/v1/models/{model}").json["config"]
        assert asked(server, "PUT", "/v1/models/own", config, bearer).status in (200, 201)
        estimated(server, {**JOB, "model": config, "gpu": "B200"})
    assert asked(server, "DELETE", "/v1/models/own", None, bearer).status == 204
    gpu = {"memory_bytes": 8e9, "memory_bandwidth_bytes_per_s": 3e11, "fp16_flop_per_s": 1e13}
    CONTRACT.check_request("PUT", "/v1/gpus/own", gpu)
    assert asked(server, "PUT", "/v1/gpus/own", gpu, bearer).status == 201
    estimated(server, {**JOB, "model": "llama-3.2-1b", "gpu": "own"})


def case_problems_fit(server):
    catalog, calibrations = server.bearer("catalog:write"), server.bearer("calibrations:write")
    text = {**catalog, "Content-Type": "text/plain"}
    for method, path, body, headers, status in (
            ("POST", "/v1/estimates", b"{", {}, 400), ("POST", "/v1/estimates", {}, {}, 400),
            ("POST", "/v1/estimates", {f"f{i}": 1 for i in range(30)}, {}, 400),
            ("POST", "/v1/estimates", b" " * 1100000, {}, 413),
            ("POST", "/v1/estimates", b"{}", {"Content-Type": "text/plain"}, 415),
            ("GET", "/v1/models?limit=0", None, {}, 400), ("GET", "/v1/gpus?x=1", None, {}, 400),
            ("GET", "/v1/gpus/none", None, {}, 404), ("GET", "/v1/datasets/none", None, {}, 404),
            ("GET", "/v1/calibrations/none", None, {}, 404), ("GET", "/v1/fits/none", None, {}, 404),
            ("GET", "/v1/prices?" + "x" * 4090, None, {}, 414),
            ("GET", "/healthz", None, {"X-A": "x" * 17000}, 431),
            ("PUT", "/v1/models/a%20b", b"{}", catalog, 400), ("PUT", "/v1/gpus/a", b"{}", text, 415),
            ("PUT", "/v1/gpus/a", b"{}", catalog, 400), ("PUT", "/v1/gpus/a", b"{}", {}, 401),
            ("PUT", "/v1/gpus/a", b"{}", calibrations, 403),
            ("DELETE", "/v1/models/none", None, catalog, 404),
            ("DELETE", "/v1/models/dbrx", None, catalog, 409),
            ("DELETE", "/v1/calibrations/none", None, calibrations, 404)):
        answer = asked(server, method, path, body, headers)
        assert answer.status == status, f"{method} {path}: {answer}"


def case_unchanged_answers_fit(server):
    for name in ("models", "models/dbrx", "gpus", "gpus/A40", "prices", "providers", "datasets",
                 "datasets/xia2024-cs", "stacks", "validation"):
        first = asked(server, "GET", f"/v1/{name}")
        again = asked(server, "GET", f"/v1/{name}", None, {"If-None-Match": first.header("ETag")})
        assert again.status == 304 and again.header("ETag") == first.header("ETag"), again


def case_head_answers_as_get_does(server):
    connection = Connection(server.address)
    for path in ("/v1/models/dbrx", "/v1/prices?limit=1", "/v1/models/none"):
        wanted = server.get(path)
        connection.send(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = connection.read_answer(head_only=True)
        assert answer.status == wanted.status and answer.header("ETag") == wanted.header("ETag")
        assert int(answer.header("Content-Length")) == len(wanted.body)
    connection.close()
