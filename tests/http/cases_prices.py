"""Price lists of one's own: put as JSON and as CSV, replaced, read as they were, ended."""
import csv
import io
import pathlib
import signal
import threading
import time

from client import expect_problem

SEED = pathlib.Path(__file__).resolve().parents[2] / "migrations" / "seed"
JOB = {"model": "llama-3.1-8b", "gpu": "A40", "method": "lora",
       "dataset": {"queries": 1000, "lengths": {"fixed_tokens": 512}}}
RATE = {"gpu": "A40", "gpu_count": 2, "region": "eu", "instance_type": "pair",
        "usd_per_gpu_hour": 0.25, "spot_usd_per_gpu_hour": 0.125, "price_date": "2026-09-01",
        "source": "contract 17"}
HEADER = ("provider,region,instance_type,gpu,gpu_count,price_usd_hour,spot_price_usd_hour,"
          "catalog_date,source")
SKYPILOT_HEADER = ("InstanceType,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Price,"
                   "SpotPrice,Region,AvailabilityZone")


def put(server, provider, body, query=""):
    """Puts a list: text and bytes are CSV."""
    headers = server.bearer("catalog:write")
    if isinstance(body, (str, bytes)):
        headers = {**headers, "Content-Type": "text/csv"}
        body = body.encode() if isinstance(body, str) else body
    return server.put(f"/v1/prices/{provider}{query}", body, headers)


def put_rate(server, provider, **members):
    answer = put(server, provider, {"prices": [{**RATE, **members}]})
    assert answer.status in (200, 201), answer
    return answer.json


def lines(*rows, header="gpu,gpu_count,price_usd_hour"):
    return "\n".join((header, *rows)) + "\n"


def listed(server, provider, query=""):
    answer = server.get(f"/v1/prices/{provider}?limit=1000{query}")
    assert answer.status == 200, answer
    return answer.json


def remove(server, provider):
    assert server.delete(f"/v1/prices/{provider}", server.bearer("catalog:write")).status == 204


def estimated(server, **members):
    answer = server.post("/v1/estimates", {**JOB, **members})
    assert answer.status == 200, answer
    return answer.json


# Put, read, replaced

def case_a_rate_of_ones_own_is_put_listed_and_estimated_with(server):
    before = estimated(server)
    answer = put(server, "My-Cloud", {"prices": [RATE]})
    assert answer.status == 201 and answer.header("Location") == "/v1/prices/my-cloud", answer
    receipt = answer.json
    assert receipt["provider"] == "my-cloud" and receipt["currency"] == "USD", receipt
    assert receipt["unchanged"] is False and receipt["skipped"] is None
    assert receipt["list"]["version"] == 1 and receipt["list"]["prices"] == 1
    page = listed(server, "MY-cloud")
    assert page["list"] == receipt["list"] and not page["shipped"] and not page["stale"], page
    price, = page["prices"]
    assert price == {**RATE, "provider": "my-cloud", "stale": False, "instance_usd_per_hour": 0.5,
                     "instance_spot_usd_per_hour": 0.25}, price
    assert server.get("/v1/prices?provider=my-cloud").json["prices"] == [price]
    row, = [one for one in server.get("/v1/providers").json["providers"] if one["id"] == "my-cloud"]
    assert row == {"id": "my-cloud", "price_date": "2026-09-01", "stale": False, "shipped": False,
                   "prices": 1}, row
    after = estimated(server, providers=["my-cloud"])
    cost, = after["cost"]
    assert cost["usd_per_gpu_hour"] == 0.25 and cost["provider"] == "my-cloud", cost
    assert abs(cost["cost_usd"] / (after["duration_s"] / 3600 * 0.5) - 1) < 1e-9, cost
    assert after["versions"]["prices"] != before["versions"]["prices"]
    assert after["step_time"] == before["step_time"]
    assert [one["provider"] for one in estimated(server)["cost"]].count("my-cloud") == 1
    remove(server, "my-cloud")
    assert estimated(server) == before


def case_the_same_list_again_changes_nothing(server):
    first = put_rate(server, "again")
    etag = server.get("/v1/prices").header("ETag")
    second = put_rate(server, "again")
    assert second["unchanged"] and second["list"] == first["list"], second
    as_csv = lines("again,eu,pair,a40,2,0.5,0.25,2026-09-01,contract 17", header=HEADER)
    third = put(server, "again", as_csv)
    assert third.status == 200 and third.json["unchanged"], third
    assert server.get("/v1/prices").header("ETag") == etag
    assert len(server.get("/v1/prices/again/versions").json["versions"]) == 1
    remove(server, "again")


def case_every_put_is_a_version_that_stays_readable(server):
    prices = [0.25, 0.5, 0.75]
    for i, price in enumerate(prices):
        receipt = put_rate(server, "history", usd_per_gpu_hour=price)
        assert receipt["list"]["version"] == i + 1
        assert estimated(server, providers=["history"])["cost"][0]["usd_per_gpu_hour"] == price
    versions = server.get("/v1/prices/history/versions").json["versions"]
    assert [one["version"] for one in versions] == [3, 2, 1]
    assert [one["ended_at"] is None for one in versions] == [True, False, False]
    for older, newer in zip(versions[1:], versions):
        assert older["ended_at"] == newer["stored_at"] >= older["stored_at"], versions
    for version, price in enumerate(prices, 1):
        page = listed(server, "history", f"&version={version}")
        assert page["prices"][0]["usd_per_gpu_hour"] == price
        assert page["list"]["version"] == version
    assert listed(server, "history")["list"] == versions[0]
    walked, cursor = [], ""
    while cursor is not None:
        page = server.get(f"/v1/prices/history/versions?limit=2{cursor}").json
        walked += page["versions"]
        cursor = f"&cursor={page['next_cursor']}" if page["next_cursor"] else None
    assert walked == versions
    remove(server, "history")


def case_a_list_is_read_as_it_was_at_a_time(server):
    first = put_rate(server, "timed")["list"]
    time.sleep(1.1)  # times are whole seconds
    second = put_rate(server, "timed", usd_per_gpu_hour=0.5)["list"]
    time.sleep(1.1)
    remove(server, "timed")
    assert listed(server, "timed", f"&at={first['stored_at']}")["list"]["version"] == 1
    assert listed(server, "timed", f"&at={second['stored_at']}")["list"]["version"] == 2
    ended = server.get("/v1/prices/timed/versions").json["versions"][0]["ended_at"]
    for query in (f"?at={ended}", "?at=2026-01-31", "?at=2999", ""):
        expect_problem(server.get(f"/v1/prices/timed{query}"), 404, "not-found")
    expect_problem(server.get("/v1/prices/timed"), 404, "not-found", part="deleted at")
    assert put_rate(server, "timed")["list"]["version"] == 3
    today = time.strftime("%Y-%m-%d", time.gmtime())
    if first["stored_at"].startswith(today):  # not across midnight
        assert listed(server, "timed", f"&at={today}")["list"]["version"] == 3
        assert listed(server, "timed", f"&at={today[:4]}")["list"]["version"] == 3
    remove(server, "timed")


def case_deleting_a_list_takes_it_out_of_everything_but_history(server):
    put_rate(server, "gone")
    remove(server, "gone")
    bearer = server.bearer("catalog:write")
    expect_problem(server.delete("/v1/prices/gone", bearer), 404, "not-found")
    expect_problem(server.get("/v1/prices?provider=gone"), 400, "unknown-reference", "/provider")
    expect_problem(server.post("/v1/estimates", {**JOB, "providers": ["gone"]}), 400,
                   "unknown-reference", "/providers/0")
    assert "gone" not in [one["id"] for one in server.get("/v1/providers").json["providers"]]
    assert listed(server, "gone", "&version=1")["prices"][0]["source"] == "contract 17"
    answer = put(server, "gone", {"prices": [RATE]})
    assert answer.status == 201 and answer.json["list"]["version"] == 2, answer
    remove(server, "gone")


def case_own_gpus_are_priced_and_spot_stands_alone(server):
    gpu = {"memory_bytes": 24e9, "memory_bandwidth_bytes_per_s": 1e12, "fp16_flop_per_s": 1e14}
    assert server.put("/v1/gpus/acme-9", gpu, server.bearer("catalog:write")).status == 201
    answer = put(server, "acme", {"prices": [
        {"gpu": "ACME-9", "instance_usd_per_hour": 3},
        {"gpu": "A40", "spot_usd_per_gpu_hour": 0.01}]})
    assert answer.status == 201, answer
    assert estimated(server, gpu="acme-9", providers=["acme"])["cost"][0]["usd_per_gpu_hour"] == 3
    expect_problem(server.post("/v1/estimates", {**JOB, "providers": ["acme"]}), 422, "unpriced")
    spot, = [one for one in listed(server, "acme")["prices"] if one["gpu"] == "A40"]
    assert spot["usd_per_gpu_hour"] is None and spot["spot_usd_per_gpu_hour"] == 0.01
    remove(server, "acme")


def case_old_lists_are_stale_and_nobody_ages_the_others(server):
    stale_before = {one["id"]: one["stale"]
                    for one in server.get("/v1/providers").json["providers"]}
    put_rate(server, "old", price_date="2025-01-31")
    assert listed(server, "old")["stale"] and listed(server, "old")["prices"][0]["stale"]
    assert estimated(server, providers=["old"])["cost"][0]["stale"]
    for date in ("2999-01-01", "2999", "2027-13", "2026-02-30", "yesterday", "26-01-01"):
        answer = put(server, "future", {"prices": [{**RATE, "price_date": date}]})
        expect_problem(answer, 400, "invalid-field", "/prices/0/price_date", date)
        answer = put(server, "future", {"price_date": date, "prices": [RATE]})
        expect_problem(answer, 400, "invalid-field", "/price_date", date)
        expect_problem(put(server, "future", lines("A40,1,1"), f"?price_date={date}"), 400,
                       "invalid-field", "/price_date", date)
        answer = put(server, "future", lines(f"A40,1,1,{date}", header=
                                             "gpu,gpu_count,price_usd_hour,catalog_date"))
        expect_problem(answer, 400, "invalid-field", "/lines/2/catalog_date", date)
    stale_after = {one["id"]: one["stale"] for one in server.get("/v1/providers").json["providers"]}
    assert {**stale_before, "old": True} == stale_after
    remove(server, "old")


def case_lists_survive_a_kill(server):
    put_rate(server, "kept")
    put_rate(server, "kept", usd_per_gpu_hour=0.5)
    paths = ("/v1/prices/kept", "/v1/prices/kept?version=1", "/v1/prices/kept/versions",
             "/v1/prices?limit=1000", "/v1/providers")
    before = [server.get(path).body for path in paths] + [estimated(server)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        server.stop(number)
        server.start()
        assert [server.get(path).body for path in paths] + [estimated(server)] == before
    remove(server, "kept")


def case_lists_put_at_once_are_each_whole(server):
    """Whoever comes last is in force; no version mixes rows of two."""
    def put_many(k):
        for i in range(5):
            body = {"prices": [{"gpu": "A40", "instance_type": f"i{row}",
                                "usd_per_gpu_hour": 1 + k + i / 10} for row in range(20)]}
            assert put(server, "busy", body).status in (200, 201)
    server.token("catalog:write")
    threads = [threading.Thread(target=put_many, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    versions = server.get("/v1/prices/busy/versions").json["versions"]
    assert [one["version"] for one in versions] == list(range(15, 0, -1)), versions
    for version in range(1, 16):
        rows = listed(server, "busy", f"&version={version}")["prices"]
        assert len(rows) == 20 and len({row["usd_per_gpu_hour"] for row in rows}) == 1
    remove(server, "busy")


# What is shipped

def case_shipped_providers_are_read_only_and_readable(server):
    bearer = server.bearer("catalog:write")
    for provider in ("aws", "AWS", "cudo-2024"):
        expect_problem(put(server, provider, {"prices": [RATE]}), 409, "conflict", part="shipped")
        expect_problem(server.delete(f"/v1/prices/{provider}", bearer), 409, "conflict")
    expect_problem(put(server, "request", {"prices": [RATE]}), 409, "conflict")
    page = listed(server, "CUDO-2024")
    assert page["shipped"] and page["list"] is None and page["stale"], page
    assert page["prices"] == server.get("/v1/prices?provider=cudo-2024").json["prices"]
    assert server.get("/v1/prices/aws/versions").json == {"versions": [], "next_cursor": None}
    for query in ("version=1", "at=2026-09-01"):
        expect_problem(server.get(f"/v1/prices/aws?{query}"), 404, "not-found", part="shipped")
    for path in ("/v1/prices/nobody", "/v1/prices/nobody/versions", "/v1/prices/nobody?version=1"):
        expect_problem(server.get(path), 404, "not-found", part="nobody")


def case_the_shipped_file_comes_back_as_it_is_listed(server):
    """Each provider's rows of migrations/seed/prices.csv, put under another id."""
    with (SEED / "prices.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for provider in ("aws", "vast", "verda", "lium"):
        out = io.StringIO()
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows({**row, "provider": ""} for row in rows if row["provider"] == provider)
        assert put(server, "copy", out.getvalue()).status in (200, 201), provider
        shipped, mine = (listed(server, one)["prices"] for one in (provider, "copy"))
        assert [{**one, "provider": provider} for one in mine] == shipped, provider
    remove(server, "copy")


# CSV

def case_csv_of_any_making_is_taken(server):
    plain = lines("A40,2,0.5,eu", header="gpu,gpu_count,price_usd_hour,region")
    for text in (plain, "\ufeff" + plain, plain.replace("\n", "\r\n"), plain.rstrip("\n"),
                 "# a comment\n" + plain, plain.replace("eu", '"eu"'),
                 plain.replace("A40", '"A40"').replace("0.5", '"0.5"'),
                 plain.replace("gpu,", "GPU,", 1), plain.replace(",2,", ",2.0,"),
                 lines("eu,USD,5e-1,2,a40", header="region,currency,price_usd_hour,gpu_count,gpu")):
        answer = put(server, "made", text, "?price_date=2026-09-01")
        assert answer.status in (200, 201) and answer.json["list"]["version"] == 1, (text, answer)
    price, = listed(server, "made")["prices"]
    assert price["gpu"] == "A40" and price["gpu_count"] == 2 and price["region"] == "eu", price
    assert price["usd_per_gpu_hour"] == 0.25 and price["source"] == "own", price
    quoted = lines('A40,1,1,"a, ""b"" é"', header="gpu,gpu_count,price_usd_hour,instance_type")
    assert put(server, "made", quoted, "?source=mine").status == 200
    price, = listed(server, "made")["prices"]
    assert price["instance_type"] == 'a, "b" é' and price["source"] == "mine", price
    remove(server, "made")


def case_a_hundred_thousand_rows_are_taken_and_read(server):
    text = lines(*(f"A40,1,{1 + i / 1e6:.6f},r{i % 7},i{i}" for i in range(100000)),
                 header="gpu,gpu_count,price_usd_hour,region,instance_type")
    begin = time.monotonic()
    answer = put(server, "large", text)
    assert answer.status == 201 and answer.json["list"]["prices"] == 100000, answer
    assert time.monotonic() - begin < 20, "100,000 rows took too long"
    page = server.get("/v1/prices/large?limit=1000").json
    assert [one["usd_per_gpu_hour"] for one in page["prices"][:2]] == [1, 1.000001]
    page = server.get(f"/v1/prices/large?limit=1000&cursor={page['next_cursor']}").json
    assert page["prices"][0]["usd_per_gpu_hour"] == 1.001, page["prices"][0]
    cost = estimated(server, providers=["large"])["cost"]
    assert cost[0]["usd_per_gpu_hour"] == 1, cost[0]
    bad = text + "".join(f"A41,1,1,r,j{i}\n" for i in range(1000))
    answer = put(server, "large", bad)
    expect_problem(answer, 400, "unknown-reference", "/lines/100002/gpu")
    assert answer.json["error_count"] == 1000
    assert listed(server, "large")["list"]["version"] == 1
    over = lines(*(f"A40,1,1,i{i}" for i in range(200001)),
                 header="gpu,gpu_count,price_usd_hour,instance_type")
    expect_problem(put(server, "larger", over), 413, "too-large")
    answer = put(server, "larger", b"#" * (32 * 1024 * 1024 + 1))
    expect_problem(answer, 413, "too-large")
    remove(server, "large")


# SkyPilot's catalogs

def skypilot(*rows, header=SKYPILOT_HEADER):
    return lines(*rows, header=header)


def case_a_skypilot_catalog_is_taken_as_it_is(server):
    info = "\"{'Gpus': [{'Name': 'A100', 'MemoryInfo': {'SizeInMiB': 40960}}]}\""
    answer = put(server, "sky", skypilot(
        f"p4d.24xlarge,96.0,1152.0,A100,8.0,{info},32.7726,12.5,us-east-1,us-east-1a",
        f"p4d.24xlarge,96.0,1152.0,A100,8.0,{info},32.7726,11.5,us-east-1,us-east-1b",
        f"p4d.24xlarge,96.0,1152.0,A100,8.0,{info},34,,eu-west-1,eu-west-1a",
        "m5.large,2.0,8.0,,,,0.096,0.03,us-east-1,us-east-1a",
        "dl1.24xlarge,96.0,768.0,Gaudi HL-205,8.0,,13.1,,us-east-1,us-east-1a",
        "dl1.24xlarge,96.0,768.0,Gaudi HL-205,8.0,,13.1,,us-east-1,us-east-1b",
        "tpu-vm,8,16,tpu-v2-8,1.0,,4.5,1.3,us-central1,us-central1-b",
        ",,,T4,1.0,,0.35,0.1,us-central1,us-central1-a",
        "part,6,8,A10,0.5,,0.9,,r,z", "closed,6,8,A10,1,,,,r,z", "free,6,8,A10,1,,0,0,r,z",
        "gpu_1x_h100_pcie,26,200,H100,1.0,,2.49,,us-east-1,",
        "gpu_8x_h100_sxm5,208,1800,H100,8.0,,23.92,,us-east-1,",
        "1x_RTX4090_SECURE,8,24,RTX4090,1.0,,0.69,,CA,CA"), "?price_date=2026-09-01")
    assert answer.status == 201 and answer.json["list"]["layout"] == "skypilot", answer
    assert answer.json["skipped"] == {
        "without_gpu": 1, "without_machine": 1, "fractional": 1, "unpriced": 2, "merged": 1,
        "unmapped": 3, "unmapped_names": [{"name": "Gaudi HL-205", "rows": 2},
                                          {"name": "tpu-v2-8", "rows": 1}]}, answer.json["skipped"]
    got = {(one["instance_type"], one["region"]): one for one in listed(server, "sky")["prices"]}
    assert {key: (one["gpu"], one["gpu_count"], one["instance_usd_per_hour"],
                  one["instance_spot_usd_per_hour"]) for key, one in got.items()} == {
        ("p4d.24xlarge", "us-east-1"): ("A100-40GB-SXM", 8, 32.7726, 11.5),
        ("p4d.24xlarge", "eu-west-1"): ("A100-40GB-SXM", 8, 34, None),
        ("gpu_1x_h100_pcie", "us-east-1"): ("H100-PCIe-80GB", 1, 2.49, None),
        ("gpu_8x_h100_sxm5", "us-east-1"): ("H100-SXM-80GB", 8, 23.92, None),
        ("1x_RTX4090_SECURE", "CA"): ("RTX-4090", 1, 0.69, None)}, got
    cost = estimated(server, gpu="RTX-4090", model="llama-3.2-1b", providers=["sky"])["cost"]
    assert cost[0]["usd_per_gpu_hour"] == 0.69
    other_order = skypilot("A10G,1.0,g5.xlarge,1.006,0.4,us-east-1",
                           header="AcceleratorName,AcceleratorCount,InstanceType,Price,SpotPrice,Region")
    assert put(server, "sky", other_order).status == 200
    long = "é" * 127  # as long as a name may be
    answer = put(server, "sky", other_order + f"{long},1,x,1,,r\n")
    assert answer.json["skipped"]["unmapped_names"] == [{"name": long, "rows": 1}], answer
    assert listed(server, "sky")["prices"][0]["gpu"] == "A10G"
    remove(server, "sky")
