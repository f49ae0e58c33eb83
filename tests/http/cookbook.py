#!/usr/bin/env python3
"""The cookbook: calls with curl, and what a fresh server answers to them.

usage: cookbook.py SERVER [--write]

Runs every recipe below against a fresh server, in this order. With --write docs/cookbook.md becomes
what was answered; without, it is printed. cases_cookbook.py runs the commands that the file prints.
"""
import dataclasses
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
COOKBOOK = HERE.parents[1] / "docs" / "cookbook.md"
BASE = "http://127.0.0.1:8080"
WIDTH = 96

OPENING = f"""# Cookbook

Calls with curl, each with what a fresh server answered to it and those above: `tests/http/cookbook.py --write` ran
them and wrote this page, and a test runs them as they stand here. Answers are cut to the members that
matter (`...` stands for the rest). Start a server with `./dev run`, then paste. Calls that store take a
token:

```
TOKEN=$(build/server/llmquote-server token create --db llmquote.db --name me \\
  --scope calibrations:write --scope catalog:write)
```
"""


@dataclasses.dataclass
class Recipe:
    """One call; `keep` says what of the answer is shown: members, or {member: what is kept of it}."""
    title: str
    text: str
    path: str
    body: object = None
    method: str = None
    stores: bool = False
    keep: object = ()


QLORA = {"kind": "qlora", "rank": 16, "targets": ["experts", "router"]}
MATH = {"queries": 15000, "lengths": {"name": "xia2024-math"}, "cutoff_tokens": 1024}
JOB = {"model": "mixtral-8x7b", "gpu": "A40", "method": QLORA, "dataset": MATH, "epochs": 10}
OWN = {"model": "llama-3.1-8b", "method": "lora", "dataset": {
    "queries": 10000, "lengths": {"quantiles": {"p50": 174, "p90": 271, "max": 1470}}}}
OPTION = ("rank", "gpu", "gpu_count", "provider", "cost_usd", "duration_s", "basis")

RECIPES = [
    Recipe("What does a fine-tune cost?", "A model, a GPU, a method and a data set are enough. The answer says "
           "how large a batch fits, how long it takes, what it costs where, how sure that is (`interval`), and "
           "what it rests on (`basis`).",
           "/v1/estimates", JOB, keep={"batch_size": None, "max_batch_size": None, "duration_s": None,
                                       "throughput": None, "cost": 1, "interval": ("level", "duration_s", "cost_usd"),
                                       "basis": ("kind", "fit", "points", "sources")}),
    Recipe("With lengths of your own", "Percentiles of your queries' lengths do; a `sample`, a `histogram` or "
           "`fixed_tokens` do too. A price of your own stands in place of the catalog's.",
           "/v1/estimates", {**OWN, "gpu": "H100-SXM-80GB", "usd_per_gpu_hour": 2.5},
           keep={"max_batch_size": None, "duration_s": None, "cost": 1, "interval": ("level", "cost_usd"),
                 "basis": ("kind",)}),
    Recipe("Does it fit?", "What does not is a 422: by how many bytes, and what would.",
           "/v1/estimates", {**OWN, "model": "llama-3.1-70b", "gpu": "A40", "method": "full"},
           keep=("type", "status", "detail")),
    Recipe("What is wrong with my question?", "All bad fields at once, each by a JSON Pointer.",
           "/v1/estimates", {"model": "mixtral-8x7b", "bach_size": 4, "epochs": 0, "dataset": MATH},
           keep=("status", "errors")),
    Recipe("Which GPU is cheapest?", "One job over all GPUs, numbers of them and providers, within a budget and a "
           "deadline. `front` are the options that no other one beats in both cost and time.",
           "/v1/comparisons", {**OWN, "budget_usd": 20, "deadline_s": 7200, "limit": 3},
           keep={"option_count": None, "options": (3, OPTION), "front": (2, OPTION)}),
    Recipe("How does throughput grow with the batch?", "One or two members of a job take many values; each point "
           "is the single estimate.",
           "/v1/sweeps", {"job": {**JOB, "gpu": "A100-80GB-PCIe"}, "axes": [
               {"name": "batch_size", "values": [1, 4, 16]}, {"name": "active_experts", "values": [2, 8]}]},
           keep={"series": (2, {"by": None, "points": (3, ("x", "queries_per_s", "memory_bytes", "problem"))})}),
    Recipe("What does serving cost?", "The cheapest number of GPUs that holds the model.",
           "/v1/servings", {"model": "mixtral-8x7b", "gpu": "A100-80GB-SXM",
                            "traffic": {"prompt_tokens": 500, "output_tokens": 200}},
           keep={"gpu_count": None, "max_concurrent_requests": None, "tokens_per_s": None, "token_latency_s": None,
                 "usd_per_million_output_tokens": None, "bound": None, "basis": ("kind",)}),
    Recipe("How many experts, how large, on how many tokens?", "A training budget and a life of serving.",
           "/v1/plans", {"budget_flop": 5.15e21, "experts": [1, 4, 16], "usd_per_gpu_hour": 1.5,
                         "served_tokens": 1e12},
           keep={"status": None, "recommendation": ("experts", "parameters", "tokens", "loss", "total_usd", "why")}),
    Recipe("What loss does a law predict?", "Points are parameters and tokens; a law says which more it needs.",
           "/v1/losses", {"law": "besiroglu2024", "points": [{"parameters": 7e9, "tokens": 2e12},
                                                             {"parameters": 70e9, "tokens": 2e12}]},
           keep=("law", "losses")),
    Recipe("Tell it what you measured", "Durable once it is answered. The fits follow within seconds, and quotes "
           "like it are then `calibrated`.",
           "/v1/calibrations", {"points": [
               {"model": "llama-3.1-8b", "gpu": "H100-SXM-80GB", "method": "lora", "stack": "torchtune",
                "batch_size": 4, "sequence_tokens": 512, "queries_per_s": 14.2, "source": "my-lab"}]},
           stores=True, keep=("duplicates",)),
    Recipe("A model of your own", "A Hugging Face `config.json` as it is.",
           "/v1/models/my-model", {
               "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 2048,
               "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8,
               "intermediate_size": 8192, "vocab_size": 128256, "tie_word_embeddings": True},
           method="PUT", stores=True, keep=("id", "type", "total_parameters", "layers")),
    Recipe("How good are the numbers?", "Every estimator against every measured set.",
           "/v1/validation", keep={"throughput": (2, ("dataset", "estimator", "points", "mape", "bias"))}),
]


def command(recipe):
    """The call as a person types it."""
    parts = [f"curl -s {'-X ' + recipe.method + ' ' if recipe.method else ''}{BASE}{recipe.path}"]
    if recipe.stores:
        parts.append('-H "Authorization: Bearer $TOKEN"')
    if recipe.body is not None:
        parts.append("-H 'Content-Type: application/json'")
        parts.append("-d '" + pretty(recipe.body, 2).replace("'", "'\\''") + "'")
    return " \\\n  ".join(parts)


def run(text, server):
    """What the command answers, as JSON, from this server in place of the default address."""
    address = "http://{}:{}".format(*server.address)
    environment = {**os.environ, "TOKEN": server.token("calibrations:write", "catalog:write")}
    done = subprocess.run(["bash", "-c", text.replace(BASE, address)], capture_output=True, text=True,
                          check=True, env=environment)
    return json.loads(done.stdout)


def kept(value, keep):
    """What is shown: None: all; a number: of a list so many; (number, keep): so many, cut each;
    names: these members; {name: keep}: these, cut."""
    if keep is None or keep == ():
        return value
    if isinstance(keep, int):
        return value[:keep]
    if isinstance(keep, tuple) and isinstance(keep[0], int):
        return [kept(item, keep[1]) for item in value[:keep[0]]]
    wanted = keep if isinstance(keep, dict) else dict.fromkeys(keep)
    return {name: kept(value[name], below) for name, below in wanted.items() if name in value}


def pretty(value, indent=0):
    """JSON with short values on one line."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + indent <= WIDTH or not isinstance(value, (dict, list)):
        return line
    pad = " " * (indent + 2)
    if isinstance(value, dict):
        items = [f"{json.dumps(name)}: {pretty(item, indent + 2)}" for name, item in value.items()]
    else:
        items = [pretty(item, indent + 2) for item in value]
    left, right = "{}" if isinstance(value, dict) else "[]"
    return f"{left}\n{pad}" + f",\n{pad}".join(items) + f"\n{' ' * indent}{right}"


def written(server):
    """The whole page."""
    parts = [OPENING]
    for recipe in RECIPES:
        text = command(recipe)
        shown = pretty(kept(run(text, server), recipe.keep))
        if shown.endswith("}"):
            shown = shown[:-1].rstrip() + (",\n  ...\n}" if "\n" in shown else ", ...}")
        parts.append(f"## {recipe.title}\n\n{recipe.text}\n\n```sh\n{text}\n```\n\n```\n{shown}\n```\n")
    return "\n".join(parts)


def main():
    from client import Server
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["--write"]):
        print(__doc__, file=sys.stderr)
        return 2
    server = Server(pathlib.Path(sys.argv[1]).resolve())
    try:
        text = written(server.start())
    finally:
        server.close()
    if sys.argv[2:]:
        COOKBOOK.write_text(text)
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(HERE))
    sys.exit(main())
