"""Published figures under GET /v1/validation and behind the assumptions of an estimate, against the
files that the seed has them from."""
import csv
import math
import pathlib

SEED = pathlib.Path(__file__).resolve().parents[2] / "migrations" / "seed" / "xia2024"
MODELS = {"Mixtral-8x7B": "mixtral-8x7b", "BlackMamba-630M/2.8B": "blackmamba-2.8b"}
TEST_SETS = {"HE": "HellaSwag", "GS": "GSM8K"}
UNITS = {"s": 1, "us": 1e-6, "%": 0.01}
JOB = {"model": "mixtral-8x7b", "gpu": "H100-SXM-80GB", "method": "qlora", "usd_per_gpu_hour": 2,
       "dataset": {"queries": 1000, "lengths": {"fixed_tokens": 512}}}


def rows(name):
    with (SEED / name).open(newline="") as file:
        return list(csv.DictReader(file))


def published(server):
    return server.get("/v1/validation").json["published"]


def near(got, want, tolerance=1e-8):
    assert math.isclose(got, want, rel_tol=tolerance), f"{got}, want {want}"


def served_items(bars, member):
    """(figure, model, experts, batch, item) -> value."""
    return {(figure, bar["model"], bar["active_experts"], bar["batch_size"], item["item"]):
            item[name] for bar in bars for figure, name in member(bar) for item in bar["items"]}


def stored_items(figures):
    return {(row["figure"], MODELS[row["model"]], int(row["active_experts"]), int(row["batch_size"]),
             row["item"].replace("_(", "(")): float(row["value"]) * UNITS[row["unit"]]
            for row in rows("breakdown.csv") if row["figure"] in figures}


def case_every_share_of_figures_4_to_6_is_served(server):
    bars = published(server)["shares"]
    got = served_items(bars, lambda bar: [(bar["figure"], "time_s")])
    want = stored_items(("Fig.4", "Fig.5", "Fig.6"))
    assert got.keys() == want.keys() and len(bars) == 30, got.keys() ^ want.keys()
    for key, value in want.items():
        near(got[key], value)
    for bar in bars:
        near(sum(item["share"] for item in bar["items"]), 1)
        near(sum(item["time_s"] for item in bar["items"]), bar["total_s"])


def case_the_moe_share_is_the_mean_of_figure_5(server):
    share = published(server)["moe_share"]
    bars = [{item["item"]: item["share"] for item in bar["items"]}["moe"]
            for bar in published(server)["shares"] if bar["level"] == "layer"]
    near(share["mean"], sum(bars) / len(bars))
    assert round(100 * share["mean"], 1) == 84.5, share


def case_every_utilisation_of_figures_9_and_10_is_served(server):
    runs = published(server)["utilisation"]
    got = served_items(runs, lambda bar: zip(bar["figure"], ("sm_utilisation", "dram_utilisation")))
    stored = stored_items(("Fig.9", "Fig.10"))
    want = {key: value for key, value in stored.items() if key[-1] != "time_weighted"}
    assert got.keys() == want.keys() and len(runs) == 10, got.keys() ^ want.keys()
    for key, value in want.items():
        near(got[key], value)
    for run in runs:
        mean = run["time_weighted"]
        key = run["model"], run["active_experts"], run["batch_size"], "time_weighted"
        near(mean["printed_sm_utilisation"], stored[("Fig.9", *key)])
        near(mean["printed_dram_utilisation"], stored[("Fig.10", *key)])
        for name in ("sm_utilisation", "dram_utilisation"):
            near(mean[name], sum(item[name] * item["time_share"] for item in run["items"]))
        assert (mean["bound"] == "compute") == (run["batch_size"] > 1), run


def case_expert_loads_of_figure_11_are_served_with_the_papers_variances(server):
    printed = {("mixtral-8x7b", "HellaSwag"): (55, 112), ("mixtral-8x7b", "GSM8K"): (21, 79),
               ("blackmamba-2.8b", "HellaSwag"): (150, 93)}
    loads = published(server)["expert_load"]
    assert len(loads) == 8
    for load in loads:
        run = {name: short for short, name in TEST_SETS.items()}[load["test_set"]]
        run += "_tuned" if load["tuned"] else ""
        want = [float(row["value"]) for row in rows("breakdown.csv") if row["figure"] == "Fig.11"
                and MODELS[row["model"]] == load["model"] and row["sparsity_or_run"] == run]
        for got, tokens in zip(load["tokens_per_expert"], want, strict=True):
            near(got, tokens)
        near(load["variance_percent2"], sum((100 * t / sum(want) - 12.5) ** 2 for t in want) / 8, 1e-7)
        pair = printed.get((load["model"], load["test_set"]))
        if pair is None:
            assert load["printed"] is None, load
        else:
            assert load["printed"]["variance_tokens2"] == pair[load["tuned"]], load
            assert int(load["printed"]["recomputed_tokens2"]) == pair[load["tuned"]], load


def case_accuracy_by_epoch_is_served(server):
    curves = published(server)["accuracy"]
    want = {}
    for row in rows("accuracy.csv"):
        key = MODELS[row["model"]], {"dense": 8, "sparse": 2}[row["sparsity"]], row["test_set"]
        want.setdefault(key, []).append(float(row["accuracy"]))
        assert int(row["epoch"]) == len(want[key]) - 1, row
    assert len(want) == 8 and len(curves) == 8
    for curve in curves:
        values = want[curve["model"], curve["active_experts"], curve["test_set"]]
        assert curve["accuracy_by_epoch"] == values, curve
        assert curve["best_epoch"] == values.index(max(values)) < 10, curve


def evidence(server, **members):
    answer = server.post("/v1/estimates", {**JOB, **members})
    assert answer.status == 200, answer
    return answer.json["assumptions_evidence"]


def case_epochs_have_evidence_of_the_model_or_of_all(server):
    curves = published(server)["accuracy"]
    for model in ("mixtral-8x7b", "llama-3.2-1b"):
        own = [curve for curve in curves if curve["model"] == model] or curves
        values = [curve["accuracy_by_epoch"] for curve in own]
        best = [curve["best_epoch"] for curve in own]
        for epochs in (0.5, 1, 3, 10, 50):
            got = evidence(server, model=model, epochs=epochs)["epochs"]
            gains = [(one[min(int(epochs), 10)] - one[0]) / (max(one) - one[0]) for one in values]
            assert got["runs"] == len(own) and got["source"] == "xia2024", got
            assert set(got["models"]) == {curve["model"] for curve in own}, got
            assert got["best_epoch"] == [min(best), max(best)] and max(best) < 10, got
            for one, want in zip(got["gain_share"], (min(gains), max(gains)), strict=True):
                assert abs(one - want) < 1e-9, got
            assert got["detail"].startswith(
                f"the best accuracy of these runs came after {min(best)} to {max(best)} of 10 "), got


def case_an_even_load_has_evidence_where_it_is_assumed(server):
    loads = published(server)["expert_load"]
    for model, count in (("mixtral-8x7b", 4), ("olmoe-1b-7b", 8)):
        got = evidence(server, model=model)["expert_load"]
        want = [load for load in loads if count == 8 or load["model"] == model]
        variances = [load["variance_percent2"] for load in want]
        peaks = [8 * max(load["shares"]) for load in want]
        assert got["runs"] == count == len(want), got
        assert got["variance_percent2"] == [min(variances), max(variances)], got
        near(got["busiest_over_mean"][0], min(peaks))
        near(got["busiest_over_mean"][1], max(peaks))
    assert evidence(server, model="llama-3.2-1b")["expert_load"] is None
    assert evidence(server, active_experts=8)["expert_load"] is None


def case_the_figures_are_the_same_each_time(server):
    assert evidence(server) == evidence(server)
    assert published(server) == published(server)
