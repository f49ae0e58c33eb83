"""The catalogs: what is shipped with its provenance, pages, entity tags, and entries of one's own."""
import csv
import json
import pathlib
import signal

from client import expect_problem

SEED = pathlib.Path(__file__).resolve().parents[2] / "migrations" / "seed"
SIZES = {"models": 62, "gpus": 63, "prices": 509, "datasets": 3}
JOB = {"gpu": "B200", "usd_per_gpu_hour": 2.0,
       "dataset": {"queries": 1000, "lengths": {"fixed_tokens": 512}}}
GPU = {"vendor": "ACME", "memory_bytes": 100e9, "memory_bandwidth_bytes_per_s": 2e12,
       "fp16_flop_per_s": 4e14}


def walk(server, path, limit):
    """All entries, page by page."""
    name = path.partition("?")[0].rpartition("/")[2]
    sign = "&" if "?" in path else "?"
    result, cursor = [], None
    while True:
        more = f"&cursor={cursor}" if cursor else ""
        answer = server.get(f"{path}{sign}limit={limit}{more}")
        assert answer.status == 200, answer
        page, cursor = answer.json[name], answer.json["next_cursor"]
        assert 0 < len(page) <= limit and (cursor is None or len(page) == limit), answer
        result += page
        if cursor is None:
            return result


def estimate(server, **members):
    answer = server.post("/v1/estimates", {**JOB, **members})
    assert answer.status == 200, answer
    return answer.json


# Pages

def case_pages_hold_every_entry_exactly_once(server):
    for name, size in SIZES.items():
        everything = server.get(f"/v1/{name}?limit=1000").json
        assert len(everything[name]) == size and everything["next_cursor"] is None, name
        for limit in (1, 7, 62, 63, 100, 999) if size < 100 else (7, 100, 508, 509, 510):
            assert walk(server, f"/v1/{name}", limit) == everything[name], (name, limit)
    assert len(server.get("/v1/prices").json["prices"]) == 100  # the default


def case_lists_that_carry_evidence_page_too(server):
    for name in ("calibrations", "fits", "stacks", "providers"):
        everything = server.get(f"/v1/{name}?limit=1000").json[name]
        assert len(everything) > 5 and walk(server, f"/v1/{name}", 2) == everything, name
        ids = [entry["id"] for entry in everything]
        assert len(set(ids)) == len(ids), name


def case_entries_come_in_the_order_of_their_ids(server):
    for name in ("models", "gpus", "datasets", "providers", "stacks", "fits"):
        ids = [entry["id"].lower() for entry in server.get(f"/v1/{name}?limit=1000").json[name]]
        assert ids == sorted(ids), name


def case_filters_choose_and_page(server):
    for path, member, value in (("/v1/models?type=LLAMA", "type", "llama"),
                                ("/v1/gpus?vendor=amd", "vendor", "AMD"),
                                ("/v1/prices?gpu=a40", "gpu", "A40"),
                                ("/v1/prices?provider=AWS", "provider", "aws"),
                                ("/v1/fits?estimator=memory", "estimator", "memory"),
                                ("/v1/calibrations?dataset=xia2024-mixtral-cs-a40", "dataset",
                                 "xia2024-mixtral-cs-a40"),
                                ("/v1/calibrations?source=xia2024", "source", "xia2024"),
                                ("/v1/calibrations?stack=hf-2024", "stack", "hf-2024"),
                                ("/v1/calibrations?model=MIXTRAL-8x7b", "model", "mixtral-8x7b"),
                                ("/v1/calibrations?gpu=a40", "gpu", "A40")):
        name = path.partition("?")[0].rpartition("/")[2]
        wanted = [one for one in server.get(f"/v1/{name}?limit=1000").json[name]
                  if one[member] == value]
        assert wanted and walk(server, path, 3) == wanted, path
    for name in ("models?type", "gpus?vendor", "calibrations?model", "fits?model"):
        answer = server.get(f"/v1/{name}=none").json
        assert answer["next_cursor"] is None and answer[name.partition("?")[0]] == [], name


# Entity tags

def case_unchanged_lists_and_entries_are_304(server):
    for path in ("/v1/models", "/v1/models/dbrx", "/v1/gpus", "/v1/gpus/A40", "/v1/prices",
                 "/v1/providers", "/v1/datasets", "/v1/datasets/xia2024-cs", "/v1/stacks",
                 "/v1/validation", "/openapi.yaml"):
        etag = server.get(path).header("ETag")
        for tag in (etag, f"W/{etag}", f'"x", {etag}', "*"):
            answer = server.get(path, {"If-None-Match": tag})
            assert answer.status == 304 and answer.body == b"", (path, tag, answer)
            assert answer.header("ETag") == etag, (path, tag)
        for tag in ('"x"', etag[:-2] + '"', etag.strip('"')):
            assert server.get(path, {"If-None-Match": tag}).status == 200, (path, tag)


def case_entity_tags_change_with_the_data_behind_them(server):
    before = {path: server.get(path).header("ETag")
              for path in ("/v1/models", "/v1/gpus", "/v1/prices", "/v1/stacks", "/v1/validation")}
    assert server.put("/v1/gpus/etag-gpu", GPU, server.bearer("catalog:write")).status == 201
    after = {path: server.get(path).header("ETag") for path in before}
    assert after["/v1/gpus"] != before["/v1/gpus"] and after["/v1/models"] != before["/v1/models"]
    assert after["/v1/prices"] == before["/v1/prices"]


# What is shipped

def case_shipped_entries_say_where_they_come_from(server):
    for name in ("models", "gpus", "datasets"):
        entries = server.get(f"/v1/{name}?limit=1000").json[name]
        for entry in entries:
            if entry["provenance"]["source"] != "own":
                assert entry["provenance"]["source"] and entry["provenance"]["shipped"], entry
        if name != "datasets":
            recalled = [entry["provenance"]["recalled"] for entry in entries]
            assert any(recalled), name
            for entry in entries:
                text = entry["provenance"]["source"] + entry["provenance"]["note"]
                assert entry["provenance"]["recalled"] or "recalled" not in text, entry
    assert server.get("/v1/gpus/A40").json["provenance"]["recalled"] is True


def case_old_prices_are_stale_and_dated(server):
    prices = server.get("/v1/prices?limit=1000").json["prices"]
    providers = {one["id"]: one for one in server.get("/v1/providers").json["providers"]}
    assert {price["provider"] for price in prices} == set(providers)
    for provider, row in providers.items():
        own = [price for price in prices if price["provider"] == provider]
        assert len(own) == row["prices"] and {price["stale"] for price in own} == {row["stale"]}, row
        assert all(price["price_date"] and price["source"] for price in own), own
    old = server.get("/v1/prices?provider=cudo-2024").json["prices"]
    assert {(price["gpu"], price["usd_per_gpu_hour"]) for price in old} == {
        ("A40", 0.79), ("A100-80GB-PCIe", 1.67), ("H100-PCIe-80GB", 2.10)}, old
    assert all(price["stale"] and price["price_date"] == "2024" for price in old)


def case_prices_are_per_gpu_and_never_made_up(server):
    for price in server.get("/v1/prices?limit=1000").json["prices"]:
        for one, whole in (("usd_per_gpu_hour", "instance_usd_per_hour"),
                           ("spot_usd_per_gpu_hour", "instance_spot_usd_per_hour")):
            assert (price[one] is None) == (price[whole] is None), price
            if price[one] is not None:
                assert abs(price[one] * price["gpu_count"] / price[whole] - 1) < 1e-9, price
        assert price["usd_per_gpu_hour"] is not None or price["spot_usd_per_gpu_hour"] is not None


def case_prices_come_cheapest_first_per_gpu(server):
    last = {}
    for price in server.get("/v1/prices?limit=1000").json["prices"]:
        if price["usd_per_gpu_hour"] is not None:
            assert price["usd_per_gpu_hour"] >= last.get(price["gpu"], 0), price
            last[price["gpu"]] = price["usd_per_gpu_hour"]


def case_computed_parameters_equal_those_of_the_index(server):
    with (SEED / "models" / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == SIZES["models"]
    for row in rows:
        model = server.get(f"/v1/models/{row['id']}").json
        total = int(row["computed_total_params"])
        assert model["total_parameters"] == total, model
        assert model["active_parameters"] == int(row["computed_active_params"] or total), model
        assert (model["experts"] is None) == (model["active_experts"] is None), model


def case_datasets_count_their_histograms(server):
    for one, queries, most in (("xia2024-cs", 15119, 512), ("xia2024-math", 13921, 1470)):
        data = server.get(f"/v1/datasets/{one.upper()}").json
        bins = data["histogram"]
        assert bins == sorted(bins) and bins[-1][0] == data["max_tokens"] == most, data
        assert sum(count for _, count in bins) == data["queries"] == queries
        mean = sum(tokens * count for tokens, count in bins) / queries
        assert abs(data["mean_tokens"] / mean - 1) < 1e-9
        assert data["median_tokens"] < data["mean_tokens"] < data["p90_tokens"] < most


def case_entries_are_found_in_any_case(server):
    for upper, lower in (("/v1/models/MIXTRAL-8X7B", "/v1/models/mixtral-8x7b"),
                         ("/v1/gpus/a40", "/v1/gpus/A40"),
                         ("/v1/models/mixtral%2D8x7b", "/v1/models/mixtral-8x7b")):
        assert server.get(upper).body == server.get(lower).body


def case_stacks_count_their_evidence(server):
    stacks = {one["id"]: one for one in server.get("/v1/stacks").json["stacks"]}
    assert stacks["hf-2024"]["modelled"] and stacks["hf-2024"]["points"] >= 96, stacks
    for row in stacks.values():
        for kind in ("points", "runs", "capacities"):
            assert row[kind] == sum(source[kind] for source in row["sources"]), row
    assert {name: stacks[name]["runs"] for name in ("internevo", "torchtitan", "xtuner")} == {
        "internevo": 70, "torchtitan": 43, "xtuner": 7}, stacks
    assert [one["source"] for one in stacks["unsloth-2024"]["sources"]] == [
        "llamafactory", "unsloth"], stacks


# One's own models

def case_every_shipped_config_may_be_put_as_ones_own(server):
    """config.json as published, with keys that nobody reads: the same model under another id."""
    bearer = server.bearer("catalog:write")
    files = sorted((SEED / "models").glob("*.json"))
    assert len(files) == SIZES["models"]
    for file in files:
        config = {**json.loads(file.read_text()), "transformers_version": "4.99", "x": {"y": [None]}}
        answer = server.put("/v1/models/own-copy", config, bearer)
        assert answer.status in (200, 201), (file.name, answer)
        mine, shipped = answer.json, server.get(f"/v1/models/{file.stem}").json
        for name in ("type", "total_parameters", "active_parameters", "parameters", "layers",
                     "experts"):
            assert mine[name] == shipped[name], (file.name, name)
        assert mine["config"] == config, file.name
        assert mine["provenance"]["shipped"] is False and mine["published_parameters"] is None
    assert server.delete("/v1/models/own-copy", bearer).status == 204


def case_an_own_model_is_put_estimated_replaced_and_deleted(server):
    bearer = server.bearer("catalog:write")
    config = server.get("/v1/models/llama-3.1-8b").json["config"]
    answer = server.put("/v1/models/My-Llama", config, bearer)
    assert answer.status == 201 and answer.json["id"] == "my-llama", answer
    assert answer.header("Location") == "/v1/models/my-llama"
    assert server.get(answer.header("Location")).json == answer.json
    assert "my-llama" in [one["id"] for one in server.get("/v1/models?limit=1000").json["models"]]
    mine, shipped = estimate(server, model="MY-llama"), estimate(server, model="llama-3.1-8b")
    assert mine["model"] == "my-llama" and mine["step_time"] == shipped["step_time"]
    answer = server.put("/v1/models/my-llama", {**config, "num_hidden_layers": 16}, bearer)
    assert answer.status == 200 and answer.json["layers"] == 16, answer
    shorter = estimate(server, model="my-llama", batch_size=1)
    longer = estimate(server, model="llama-3.1-8b", batch_size=1)
    assert shorter["duration_s"] < longer["duration_s"]
    assert shorter["versions"]["catalog"] != shipped["versions"]["catalog"]
    assert server.delete("/v1/models/MY-LLAMA", bearer).status == 204
    expect_problem(server.get("/v1/models/my-llama"), 404, "not-found")
    expect_problem(server.delete("/v1/models/my-llama", bearer), 404, "not-found")
    answer = server.post("/v1/estimates", {**JOB, "model": "my-llama"})
    expect_problem(answer, 400, "unknown-reference", "/model")


# One's own GPUs

def case_an_own_gpu_is_put_estimated_and_unpriced(server):
    bearer = server.bearer("catalog:write")
    answer = server.put("/v1/gpus/acme-1", {**GPU, "id": "ACME-1", "source": "a data sheet"}, bearer)
    assert answer.status == 201 and answer.header("Location") == "/v1/gpus/acme-1", answer
    got = server.get("/v1/gpus/Acme-1").json
    assert got == answer.json and got["provenance"]["source"] == "a data sheet", got
    for name, value in GPU.items():
        assert got[name] == value, (name, got)
    assert got["memory_nominal_bytes"] == GPU["memory_bytes"] and got["fp8_flop_per_s"] is None
    job = {"model": "llama-3.1-8b", "gpu": "ACME-1"}
    priced = estimate(server, **job)
    assert priced["memory"]["capacity_bytes"] == GPU["memory_bytes"]
    assert len(priced["cost"]) == 1 and priced["cost"][0]["usd_per_gpu_hour"] == 2.0
    unpriced = estimate(server, **job, usd_per_gpu_hour=None)
    assert unpriced["cost"] == [] and unpriced["interval"]["cost_usd"] is None
    assert "unpriced" in [warning["code"] for warning in unpriced["warnings"]]
    faster = {**GPU, "fp16_flop_per_s": 8e14, "memory_bandwidth_bytes_per_s": 4e12}
    assert server.put("/v1/gpus/acme-1", faster, bearer).status == 200
    assert estimate(server, **job)["duration_s"] < priced["duration_s"]


# Durability

def case_what_was_stored_survives_a_restart_and_a_kill(server):
    bearer = server.bearer("catalog:write")
    config = server.get("/v1/models/qwen3-8b").json["config"]
    assert server.put("/v1/models/kept", config, bearer).status == 201
    assert server.put("/v1/gpus/kept", GPU, bearer).status == 201
    job = {"model": "kept", "gpu": "kept"}
    paths = ("/v1/models/kept", "/v1/gpus/kept", "/v1/models", "/v1/gpus", "/v1/prices")
    before = [server.get(path).body for path in paths] + [estimate(server, **job)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        server.stop(number)
        server.start()
        assert [server.get(path).body for path in paths] + [estimate(server, **job)] == before
    assert server.delete("/v1/models/kept", bearer).status == 204
    server.stop(signal.SIGKILL)
    server.start()
    expect_problem(server.get("/v1/models/kept"), 404, "not-found")
