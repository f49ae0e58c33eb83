"""What is no price list: tokens, paths, queries and media types, bad JSON, bad CSV, bad rows."""
import json

from cases_prices import HEADER, RATE, SKYPILOT_HEADER, lines, put, put_rate, remove, skypilot
from client import ABSENT, changed, expect_problem


# Tokens, sizes, queries

def case_a_token_with_the_scope_is_needed(server):
    for method in ("PUT", "DELETE"):
        answer = server.request(method, "/v1/prices/mine", {"prices": [RATE]})
        expect_problem(answer, 401, "token-required")
        answer = server.request(method, "/v1/prices/mine", {"prices": [RATE]},
                                server.bearer("calibrations:write"))
        expect_problem(answer, 403, "scope-required")


def case_bad_paths_queries_and_media_types_are_refused(server):
    bearer = server.bearer("catalog:write")
    for provider in ("a%20b", "-a", "%C3%A9", "x" * 200):
        expect_problem(put(server, provider, {"prices": [RATE]}), 400, "bad-request")
        expect_problem(server.get(f"/v1/prices/{provider}"), 400, "bad-request")
    put_rate(server, "queried")
    for query, pointer in (("at=now", "/at"), ("at=", "/at"), ("at=2026-13", "/at"),
                           ("at=2026-07-20T10:00:00%2B02:00", "/at"), ("version=0", "/version"),
                           ("version=-1", "/version"), ("version=1.5", "/version"),
                           ("version=9999999999", "/version"), ("version=", "/version"),
                           ("version=1&at=2026", "/at"), ("when=2026", "/when"),
                           ("limit=0", "/limit"), ("cursor=zz", "/cursor"),
                           ("cursor=" + b"9/0".hex(), "/cursor")):
        expect_problem(server.get(f"/v1/prices/queried?{query}"), 400, "invalid-field", pointer)
    expect_problem(server.get("/v1/prices/queried?version=2"), 404, "not-found", part="1 to 1")
    expect_problem(server.get("/v1/prices/queried/versions?at=2026"), 400, "invalid-field", "/at")
    answer = put(server, "queried", {"prices": [RATE]}, "?price_date=2026")
    expect_problem(answer, 400, "invalid-field", "/price_date")  # JSON says it itself
    for query in ("source=", "source=" + "x" * 256, "source=%01"):
        expect_problem(put(server, "queried", lines("A40,1,1"), f"?{query}"), 400, "invalid-field",
                       "/source")
    for media in ("text/plain", "text/csv; charset=latin1", "text/csvx", "application/csv"):
        answer = server.put("/v1/prices/queried", lines("A40,1,1"), {**bearer, "Content-Type": media})
        expect_problem(answer, 415, "unsupported-media-type", part="text/csv")
    for media in ("TEXT/CSV", "text/csv; charset=UTF-8", "text/csv; header=present"):
        answer = server.put("/v1/prices/queried", lines("A40,1,1"), {**bearer, "Content-Type": media})
        assert answer.status == 200, answer
    answer = server.put("/v1/models/queried", "a,b\n", {**bearer, "Content-Type": "text/csv"})
    expect_problem(answer, 415, "unsupported-media-type")
    remove(server, "queried")


# Bad JSON

def case_bad_members_of_a_list_are_named(server):
    good = {"prices": [RATE, {"gpu": "L4", "usd_per_gpu_hour": 1}]}
    for pointer, values in (
            ("/currency", ("EUR", "", 3)), ("/price_date", (2026, "2026-7", "x" * 20)),
            ("/source", ("", "x" * 256, "a\u0007b", 3)), ("/prices", ([], {}, "x", ABSENT)),
            ("/prices/1/gpu", (ABSENT, "", 3)),
            ("/prices/1/gpu_count", (0, -1, 1.5, "1", 4097)),
            ("/prices/1/region", ("", "x" * 256, 3, "a\nb")),
            ("/prices/1/instance_type", ("", 3, "a\tb")),
            ("/prices/1/usd_per_gpu_hour", (0, -0.5, "1", 1e7, 1e-12)),
            ("/prices/1/spot_usd_per_gpu_hour", (0, -0.5, True)),
            ("/prices/1/instance_usd_per_hour", (-1, "x")),
            ("/prices/1/eur_per_hour", (1,)), ("/discount", (0.1,))):
        for value in values:
            answer = put(server, "bad", changed(good, pointer, value))
            expect_problem(answer, 400, "invalid-field", pointer)
    for value in (3, "x", []):
        answer = put(server, "bad", {"prices": [RATE, value]})
        expect_problem(answer, 400, "invalid-field", "/prices/1")
    for number in ("NaN", "Infinity", "-Infinity", "1e999"):
        body = json.dumps(good).replace("0.25", number)
        answer = server.put("/v1/prices/bad", body, server.bearer("catalog:write"))
        expect_problem(answer, 400, "invalid-json")
    answer = put(server, "bad", changed(good, "/prices/1/instance_usd_per_hour", 1))
    expect_problem(answer, 400, "invalid-field", "/prices/1/usd_per_gpu_hour", "left out")
    answer = put(server, "bad", changed(good, "/prices/1/usd_per_gpu_hour", ABSENT))
    expect_problem(answer, 400, "invalid-field", "/prices/1", "must have a price")
    answer = put(server, "bad", changed(good, "/prices/1/gpu", "H100-SXM-81GB"))
    expect_problem(answer, 400, "unknown-reference", "/prices/1/gpu", "H100-SXM-81GB")
    answer = put(server, "bad", {"prices": [RATE, {**RATE, "usd_per_gpu_hour": 2}]})
    expect_problem(answer, 400, "invalid-field", "/prices/1", "entry 0")
    expect_problem(server.put("/v1/prices/bad", b"", server.bearer("catalog:write")), 400,
                   "invalid-json")
    expect_problem(server.get("/v1/prices/bad"), 404, "not-found")  # nothing of it was stored


# Bad CSV

def case_what_is_no_csv_is_refused_with_its_line(server):
    for text, line, part in ((lines("A40,1"), 2, "2 fields in place of 3"),
                             (lines("A40,1,1,1"), 2, "4 fields in place of 3"),
                             (lines('"A40,1,1', "L4,1,1"), 2, "never closed"),
                             (lines("A40,1,1", 'L4,1"x,1'), 3, "quote"),
                             (lines("A40,1,1", "") + "\n", 3, "1 fields"),
                             (lines("A40,1," + "1" * 5000), 2, "too long"),
                             ("gpu,\0,gpu_count\n", 1, "control"),
                             ('"gpu', 1, "never closed")):
        answer = put(server, "bad", text)
        expect_problem(answer, 400, "bad-request", f"/lines/{line}", part)
    for text in ("", " ", "\n", "\ufeff", "# only\n"):
        assert put(server, "bad", text).status == 400, text
    expect_problem(put(server, "bad", ""), 400, "bad-request", part="empty")
    expect_problem(put(server, "bad", lines()), 400, "invalid-field", part="no row")
    expect_problem(server.get("/v1/prices/bad"), 404, "not-found")


def case_missing_doubled_and_foreign_columns_are_named(server):
    answer = put(server, "bad", "gpu,region\nA40,eu\n")
    for column in ("gpu_count", "price_usd_hour"):
        expect_problem(answer, 400, "invalid-field", f"/lines/1/{column}", "missing")
    answer = put(server, "bad", "InstanceType,AcceleratorName\nx,A100\n")
    for column in ("AcceleratorCount", "Price", "Region"):
        expect_problem(answer, 400, "invalid-field", f"/lines/1/{column}", "missing")
    answer = put(server, "bad", lines("A40,1,1,2", header="gpu,gpu_count,price_usd_hour,gpu"))
    expect_problem(answer, 400, "invalid-field", "/lines/1", "twice")
    answer = put(server, "bad", lines("A40,1,1,2", header="gpu,gpu_count,price_usd_hour,price_eur"))
    expect_problem(answer, 400, "invalid-field", "/lines/1", "price_eur")


def case_every_bad_row_is_named_with_its_line(server):
    header = HEADER + ",currency"
    good = ",eu,x,A40,1,1,0.5,2026-09-01,s,USD"
    for column, values in (("price_usd_hour", ("-1", "nan", "inf", "1e999", "x", "0x10", "1 ", "1e7",
                                               "1e-12", "$1")),
                           ("spot_price_usd_hour", ("-0.5", "NaN", "-inf")),
                           ("gpu_count", ("", "0", "-1", "1.5", "nan", "5000", "x")),
                           ("catalog_date", ("2026-13", "2999-01-01", "x")),
                           ("provider", ("aws",)), ("currency", ("EUR", "eur", "$")),
                           ("region", ("x" * 256, "\x07")), ("source", ("\x7f",))):
        for value in values:
            row = good.split(",")
            row[header.split(",").index(column)] = value
            answer = put(server, "bad", lines(good.replace("x", "y"), ",".join(row), header=header))
            expect_problem(answer, 400, "invalid-field", f"/lines/3/{column}")
    raw = lines("A40,1,1,x", header="gpu,gpu_count,price_usd_hour,region").encode()
    expect_problem(put(server, "bad", raw.replace(b"x", b"\xff")), 400, "invalid-field",
                   "/lines/2/region", "UTF-8")
    for price in ("", "0"):
        expect_problem(put(server, "bad", lines(f"A40,1,{price}")), 400, "invalid-field",
                       "/lines/2/price_usd_hour")
    answer = put(server, "bad", lines("A40,1,1", "L99,1,1", "H100,1,1"))
    for line, name in ((3, "L99"), (4, "H100")):
        expect_problem(answer, 400, "unknown-reference", f"/lines/{line}/gpu", name)
    answer = put(server, "bad", lines("A40,1,1", "L4,1,1", "a40,1,2", "A40,1,1"))
    for line in (4, 5):
        expect_problem(answer, 400, "invalid-field", f"/lines/{line}", "line 2")
    many = put(server, "bad", lines(*["A40,1,-1"] * 40))
    assert len(many.json["errors"]) == 16 and many.json["error_count"] == 40, many
    mixed = put(server, "bad", lines("A40,1,1", "A40,1", "L99,1,1", '"x', "A40,-1,2"))
    assert {one["pointer"] for one in mixed.json["errors"]} == {
        "/lines/3", "/lines/4/gpu", "/lines/5"}, mixed
    expect_problem(server.get("/v1/prices/bad"), 404, "not-found")


def case_bad_rows_of_a_skypilot_catalog_are_named(server):
    good = "x,8,32,T4,1.0,,0.5,0.2,r,z"
    for row, column in (("y,8,32,T4,1.0,,-0.5,0.2,r,z", "Price"), ("y,8,32,T4,1.0,,nan,,r,z", "Price"),
                        ("y,8,32,T4,1.0,,0.5,inf,r,z", "SpotPrice"),
                        ("y,8,32,T4,x,,0.5,,r,z", "AcceleratorCount"),
                        ("y,8,32,T4,0,,0.5,,r,z", "AcceleratorCount"),
                        ("y,8,32,T4,,,0.5,,r,z", "AcceleratorCount")):
        answer = put(server, "bad", skypilot(good, row))
        expect_problem(answer, 400, "invalid-field", f"/lines/3/{column}")
    answer = put(server, "bad", skypilot(good + ",EUR", header=SKYPILOT_HEADER + ",Currency"))
    expect_problem(answer, 400, "invalid-field", "/lines/2/Currency", "USD")
    answer = put(server, "bad", skypilot("x,8,32,tpu-v3-8,1.0,,8,,r,z", "y,2,4,,,,1,,r,z"))
    expect_problem(answer, 400, "invalid-field", part="1 of unknown GPUs, the first tpu-v3-8")
    expect_problem(server.get("/v1/prices/bad"), 404, "not-found")
