#!/usr/bin/env python3
"""Writes the seed corpus of the fuzz targets: examples of openapi.yaml, shipped models, sample logs.

usage: corpus.py

Files that are there stay: among them are inputs that once were findings. Run it after the
contract's examples have changed, and look at what it adds.
"""
import hashlib
import json
import pathlib
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CORPUS = HERE / "corpus"
BODIES = {"estimate": "/v1/estimates", "comparison": "/v1/comparisons", "sweep": "/v1/sweeps",
          "plan": "/v1/plans", "serving": "/v1/servings", "loss": "/v1/losses", "law": "/v1/scaling-laws"}
MODELS = ("blackmamba-2.8b", "dbrx", "deepseek-v3", "falcon-7b", "gemma-3-4b", "gpt-oss-20b", "jamba-v0.1",
          "llama-3.1-8b", "mixtral-8x7b", "qwen3-30b-a3b", "mamba-2.8b", "deepseek-v2-lite",
          "glm-4.5-air", "kimi-k2", "llama-4-scout", "mpt-7b", "olmoe-1b-7b", "opt-1.3b", "phi-3.5-moe", "pythia-410m",
          "qwen1.5-moe-a2.7b")
LOGS = {"hf": ("hf-lora", "hf-full", "hf-old", "hf-unfinished"),
        "torchtune": ("torchtune-lora", "torchtune-full"),
        "llamafactory": ("llamafactory-qlora", "llamafactory-old")}
HEADS = ["Host: a\nContent-Type: application/json\nContent-Length: 12\n",
         "Host: a\nTransfer-Encoding: chunked\nContent-Type: text/csv; charset=utf-8\n",
         "Host: a\nContent-Length: 3\nContent-Length: 4\n",
         "Host: a\nX-Request-Id: abc-1.2_3\nIf-None-Match: \"x\"\nIdempotency-Key: k\n",
         "Origin: http://a\nAccess-Control-Request-Method: POST\n"]
GETS = ["/v1/models?limit=5&cursor=llama", "/v1/models/mixtral-8x7b", "/v1/gpus?vendor=nvidia", "/v1/gpus/A40",
        "/v1/prices?gpu=A40&provider=cudo", "/v1/prices/cudo?at=2026-01-01T00:00:00Z&limit=2",
        "/v1/prices/cudo/versions", "/v1/providers", "/v1/datasets", "/v1/datasets/xia2024-math",
        "/v1/stacks?limit=1", "/v1/calibrations?model=mixtral-8x7b&limit=3", "/v1/calibrations/x", "/v1/fits?gpu=A40",
        "/v1/fits/a%2Fb", "/v1/scaling-laws?status=ready&form=dense", "/v1/scaling-laws/hoffmann2022",
        "/v1/jobs/5f0c2b7a9d3e4c18a6b1f2e3d4c5b6a7", "/healthz", "/readyz", "/metrics", "/openapi.yaml",
        "/v1/estimates/5f0c2b7a9d3e4c18a6b1f2e3d4c5b6a7", "http://host/v1/stacks?%6cimit=%31", "*"]


def keep(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if not path.exists():
        path.write_bytes(data if isinstance(data, bytes) else data.encode())


def compact(value):
    return json.dumps(value, separators=(",", ":"), default=str)


def contract():
    document = yaml.safe_load((ROOT / "openapi.yaml").read_text())

    def resolve(node):
        while "$ref" in node:
            below = document
            for part in node["$ref"].removeprefix("#/").split("/"):
                below = below[part]
            node = below
        return node

    def examples(path, method, media="application/json"):
        content = document["paths"][path][method]["requestBody"]["content"][media]
        return {name: resolve(example)["value"] for name, example in content["examples"].items()}

    def answers(path, method, statuses):
        for status, response in document["paths"][path][method]["responses"].items():
            for content in resolve(response).get("content", {}).values():
                for name, example in content.get("examples", {}).items():
                    if status in statuses:
                        yield f"{status}-{name}", resolve(example)["value"]

    for target, path in BODIES.items():
        for name, value in examples(path, "post").items():
            keep(target, name, compact(value))
    for name, value in examples("/v1/calibrations", "post").items():
        for i, point in enumerate(value.get("points", [value])):
            keep("point", f"{name}-{i}", compact(point))
    for name, value in examples("/v1/gpus/{id}", "put").items():
        keep("gpu", name, compact(value))
    for name, value in examples("/v1/prices/{id}", "put").items():
        keep("price_json", name, compact(value))
    for name, value in examples("/v1/prices/{id}", "put", "text/csv").items():
        keep("price_csv", name, value)
        keep("csv", name, value)
    for name, value in examples("/v1/estimates/{id}/outcome", "put").items():
        keep("outcome", name, compact(value))
        keep("outcome", name + "-calibrate", compact({**value, "calibrate": True}))
    for name, value in answers("/v1/calibrations", "post", ("201", "400", "409")):
        keep("answer", name, bytes([0 if name.startswith("201") else 2]) + b"\n" + compact(value).encode())
    for name, value in answers("/v1/models/{id}", "get", ("200",)):
        keep("catalog", name, "0" + compact(value))
    for name, value in answers("/v1/estimates", "post", ("200",)):
        if value.get("suggested_calibrations"):
            read = {"suggested_calibrations": value["suggested_calibrations"]}
            keep("catalog", "estimate-" + name, "1" + compact(read))
    keep("catalog", "fits", '2{"fits":[],"pending_points":3}')


def shortened(path):
    """A log with no more lines than tell it apart: what is repeated only costs executions."""
    lines = path.read_bytes().splitlines(keepends=True)
    is_log = path.suffix in (".jsonl", ".txt")
    return b"".join(lines[:6] + lines[-2:] if is_log and len(lines) > 8 else lines)


def files():
    for name in MODELS:
        path = ROOT / "migrations/seed/models" / f"{name}.json"
        if path.exists():
            keep("model", name, path.read_bytes())
    logs = ROOT / "tests/worker/logs"
    for target, folders in LOGS.items():
        for folder in folders:
            parts = [f"=== {path.name}\n".encode() + shortened(path)
                     for path in sorted((logs / folder).iterdir()) if path.suffix != ".md"]
            text = b"".join(parts).replace(b"log_1718000000", b"log_1729843200").replace(
                b"=== full.yaml", b"=== torchtune_config.yaml")
            keep("import_" + target, folder, text)
    keep("import_csv", "table", (logs / "table.csv").read_bytes())
    for name in ("gpus.csv", "prices.csv"):
        lines = (ROOT / "migrations/seed" / name).read_text().splitlines()[:8]
        keep("csv", name, "\n".join(lines) + "\n")
    keep("price_csv", "plain", "region,instance_type,gpu,gpu_count,usd_per_hour\neu,x,A40,1,0.4\n")
    keep("answer", "busy", b"\x0a30\n{}")
    keep("answer", "date", b"\x0aSun, 06 Nov 1994 08:49:37 GMT\n")


def record(kind, number, payload):
    """As kernels/delivery/record.c writes it: FNV-1a hashes of payload and head."""
    def fnv(data):
        value = 0xcbf29ce484222325
        for byte in data:
            value = (value ^ byte) * 0x100000001b3 % 2 ** 64
        return value
    head = f"{kind} {number:016x} {len(payload):08x} {fnv(payload):016x} ".encode()
    return head + f"{fnv(head):016x}\n".encode() + payload + b"\n"


def spools():
    points = [record("p", i, compact({"n": i}).encode()) for i in range(1, 6)]
    begun = record("b", 0, b"0123456789abcdef0123456789abcdef 1-2")
    done = record("d", 0, b"0123456789abcdef0123456789abcdef 1-2")
    given_up = record("x", 0, b"0123456789abcdef0123456789abcdef 2")
    header = b"llmquote-spool 1\n"
    for name, parts in {"waiting": points, "sent": [*points, begun], "done": [*points, begun, done, points[4]],
                        "dissolved": [*points, begun, given_up], "empty": []}.items():
        keep("spool", name, header + b"".join(parts))
    keep("spool", "torn", header + b"".join(points)[:-9])
    keep("spool", "damaged", header + b"".join(points).replace(b'{"n":2}', b'{"n":?}'))
    key = "0123456789abcdef0123456789abcdef"
    keep("spool", "sealed", f'!p 1 {{"n":1}}\np 2 {{"n":2}}\np 3 {{}}\nb 0 {key} 1-2\nd 0 {key} 1-2\n'
         f"b 0 {key} 3\nx 0 {key} 1-2,3\n")
    for name, data in {"point": points[0], "batch": begun, "torn": points[0][:-3]}.items():
        keep("record", name, data)


def main():
    if len(sys.argv) > 1:
        print(__doc__, file=sys.stderr)
        return 2
    contract()
    files()
    spools()
    for i, text in enumerate(HEADS):
        keep("head", str(i), text)
    for text in GETS:
        keep("get", hashlib.sha1(text.encode()).hexdigest()[:12], text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
