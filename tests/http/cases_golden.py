"""Published figures, asked over HTTP: Xia et al. 2024 (IISWC; arXiv 2408.04693) and the code and data
that the authors published with it. Each figure stands with the tolerance it is held to."""
import csv
import pathlib

QLORA = {"kind": "qlora", "rank": 16, "targets": ["experts", "router"]}
SEED = pathlib.Path(__file__).resolve().parents[2] / "migrations" / "seed" / "xia2024"

# Table IV: GPU, batch, dollars for 10 epochs at Cudo's prices of 2024: with 15,000 queries to the
# cent, with 14,000 to the digit that a reader gets who takes the data set's real size.
TABLE_4 = [("A40", 4, 32.74, 30.5), ("A100-80GB-PCIe", 17, 25.40, 23.7),
           ("H100-PCIe-80GB", 17, 17.86, 16.7)]

# fit_results.csv: set; RMSE in queries/s of the code's form and of Eq. 2 as printed, and the bound
# that the service's own estimator is held to. The four points of A100-40GB are concave in tokens,
# which no step time is: 0.0075 is met by a straight line alone.
SETS = [("mixtral-cs-a40", 0.055, 0.182, 0.0085), ("blackmamba-cs-a40", 1.055, 1.263, 0.17),
        ("mixtral-math-a40", 0.022, 0.120, 0.0050), ("blackmamba-math-a40", 0.561, 1.179, 0.32),
        ("mixtral-math-a100-40gb", 0.035, 0.152, 0.0095),
        ("mixtral-math-a100-80gb", 0.104, 0.219, 0.040), ("mixtral-math-h100", 0.416, 0.577, 0.19)]

MODELS = {"Mixtral-8x7B": ("mixtral-8x7b", QLORA, True),
          "BlackMamba-630M/2.8B": ("blackmamba-2.8b", "full", False)}
GPUS = {"A40": "A40", "A100-40GB": "A100-40GB-PCIe", "A100-80GB": "A100-80GB-PCIe",
        "H100-80GB": "H100-PCIe-80GB"}


def table_4(server, gpu, batch, queries):
    answer = server.post("/v1/estimates", {
        "model": "mixtral-8x7b", "gpu": gpu, "method": QLORA, "active_experts": 2,
        "dataset": {"queries": queries, "lengths": {"name": "xia2024-math"}, "cutoff_tokens": 1024},
        "epochs": 10, "batch_size": batch, "estimator": "measured", "providers": ["cudo-2024"]})
    assert answer.status == 200, answer
    (line,) = answer.json["cost"]
    assert line["provider"] == "cudo-2024" and line["stale"] is True, line
    assert answer.json["basis"]["kind"] == "calibrated", answer.json["basis"]
    return line["cost_usd"]


def case_table_4_is_met_to_the_cent(server):
    got = [round(table_4(server, gpu, batch, 15000), 2) for gpu, batch, _, _ in TABLE_4]
    assert got == [want for _, _, want, _ in TABLE_4], got


def case_table_4_with_14000_queries_is_met_to_the_digit(server):
    """0.06 dollars: 30.5549 is printed as 30.5."""
    for gpu, batch, _, want in TABLE_4:
        got = table_4(server, gpu, batch, 14000)
        assert abs(got - want) <= 0.06, f"{gpu}: {got}, want {want}"


def case_openorca_on_h100_costs_3460_dollars(server):
    got = table_4(server, "H100-PCIe-80GB", 17, 2.906e6)
    assert abs(got / 3460 - 1) <= 0.003, got


def case_the_errors_of_the_papers_forms_are_reproduced(server):
    """1 % of each figure, and half a unit of its last printed digit."""
    rows = {(row["dataset"], row["estimator"]): row
            for row in server.get("/v1/validation").json["throughput"]}
    for name, fitted, printed, _ in SETS:
        for estimator, want in (("xia2024", fitted), ("xia2024-printed", printed)):
            got = rows[f"xia2024-{name}", estimator]["rmse_queries_per_s"]
            assert abs(got - want) <= 0.01 * want + 0.0005, f"{name} {estimator}: {got}, want {want}"


def case_the_own_estimator_stays_under_its_bounds(server):
    rows = {(row["dataset"], row["estimator"]): row
            for row in server.get("/v1/validation").json["throughput"]}
    for name, _, _, most in SETS:
        row = rows[f"xia2024-{name}", "default"]
        assert row["rmse_queries_per_s"] <= most, f"{name}: {row}, at most {most}"
        assert row["leave_one_out"] is not None and row["held_out"] is False, row


def case_every_set_has_its_points_and_what_the_paper_prints(server):
    points = {"mixtral-cs-a40": 10, "blackmamba-cs-a40": 26, "mixtral-math-a40": 5,
              "blackmamba-math-a40": 13, "mixtral-math-a100-40gb": 4, "mixtral-math-a100-80gb": 19,
              "mixtral-math-h100": 19}
    for row in server.get("/v1/validation").json["throughput"]:
        name = row["dataset"].removeprefix("xia2024-")
        if name in points:
            assert row["points"] == points[name] and row["printed"] is not None, row


def case_mixtral_on_a40_takes_the_papers_times(server):
    """t0 2.70 s, and per 1000 padded tokens 1.21 s (top-2) and 4.44 s (all 8), within 6 %: straight
    lines through the default's step times at the batches that were measured."""
    lines = {}
    for active, batches in ((2, range(1, 9)), (8, (1, 2))):
        points = []
        for batch in batches:
            answer = server.post("/v1/estimates", {
                "model": "mixtral-8x7b", "gpu": "A40", "active_experts": active, "batch_size": batch,
                "method": MODELS["Mixtral-8x7B"][1], "usd_per_gpu_hour": 1,
                "dataset": {"queries": 15000, "lengths": {"name": "xia2024-cs"}}}).json
            step = answer["step_time"]
            points.append((step["padded_tokens"] / 1000, step["total_s"]))
        mean_x = sum(x for x, _ in points) / len(points)
        mean_y = sum(y for _, y in points) / len(points)
        slope = (sum((x - mean_x) * (y - mean_y) for x, y in points)
                 / sum((x - mean_x) ** 2 for x, _ in points))
        lines[active] = (mean_y - slope * mean_x, slope)
    for got, want in ((lines[2][0], 2.70), (lines[2][1], 1.21), (lines[8][1], 4.44)):
        assert abs(got / want - 1) <= 0.06, f"{got}, want {want}: {lines}"


def largest_batch(server, row):
    model, method, checkpointing = MODELS[row["model"]]
    kind, _, tokens = row["seq_len_note"].partition(" ")
    lengths = ({"fixed_tokens": int(tokens)} if kind == "fixed"
               else {"name": f"xia2024-{row['dataset'].lower()}"})
    answer = server.post("/v1/estimates", {
        "model": model, "gpu": GPUS[row["gpu"]], "method": method, "usd_per_gpu_hour": 1,
        "active_experts": int(row["active_experts"]), "gradient_checkpointing": checkpointing,
        "dataset": {"queries": 15000, "lengths": lengths, "cutoff_tokens": 1024}})
    assert answer.status in (200, 422), answer
    return answer.json["max_batch_size"] if answer.status == 200 else 0


def case_measured_largest_batches_are_met(server):
    """Within 15 % or one query, on every row whose kind begins with "measured". Rows of one job with
    different figures contradict each other: then either counts."""
    wanted = {}
    with (SEED / "max_batch.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["kind"].startswith("measured"):
                key = tuple(row[k] for k in ("model", "dataset", "gpu", "active_experts"))
                wanted.setdefault(key, (row, []))[1].append(int(row["max_batch"]))
    assert len(wanted) == 21, wanted.keys()
    for row, batches in wanted.values():
        got = largest_batch(server, row)
        assert got > 0 and any(abs(got - want) <= max(1, 0.15 * want) for want in batches), \
            f"{row}: {got}, want {batches}"


def case_validation_says_the_same_of_the_largest_batches(server):
    rows = server.get("/v1/validation").json["max_batch"]
    assert sum(row["measured"] for row in rows) >= 26, len(rows)
    for row in rows:
        if row["measured"]:
            same = [other["max_batch_size"] for other in rows
                    if all(other[k] == row[k] for k in ("model", "gpu", "active_experts", "lengths",
                                                        "longest_tokens"))]
            got = row["predicted_max_batch_size"]
            assert got > 0 and any(abs(got - want) <= max(1, 0.15 * want) for want in same), row


def case_eq_1_gives_its_published_batches(server):
    """Eq. 1 with the code's pair (C0 62, C1 0.89) at 512 tokens: 6, 8 and 20 at 40, 48 and 80 GB."""
    rows = server.get("/v1/validation").json["max_batch"]
    for gpu, want in (("A100-40GB-PCIe", 6), ("A40", 8), ("A100-80GB-PCIe", 20),
                      ("H100-PCIe-80GB", 20)):
        got = {row["xia2024_max_batch_size"] for row in rows
               if row["model"] == "mixtral-8x7b" and row["gpu"] == gpu
               and row["longest_tokens"] == 512 and row["active_experts"] == 2}
        assert got == {want}, f"{gpu}: {got}"
