"""Models of sizes that no published one has, which a catalog takes all the same: each is measured or
refused with a reason, and nothing crashes. The sizes are drawn from a seed."""
import json
import random

MODELS = 40
SEED = 7


def mixer(pick):
    kind = pick("none", "attention", "mla", "mamba")
    if kind == "attention":
        kv_heads = pick(1, 2, 3)
        return {"kind": kind, "kv_heads": kv_heads, "heads": kv_heads * pick(1, 2, 5),
                "head_size": pick(1, 2, 3, 7, 16, 33, 2000), "window_tokens": pick(0, 1, 5, 64)}
    if kind == "mla":
        return {"kind": kind, "heads": pick(1, 3), "q_rank": pick(0, 1, 9), "kv_rank": pick(1, 7),
                "nope_size": pick(1, 5), "rope_size": pick(0, 1, 3, 4), "value_size": pick(1, 6)}
    if kind == "mamba":
        return {"kind": kind, "inner_size": pick(1, 3, 17, 64), "state_size": pick(1, 3, 16, 300),
                "conv_size": pick(1, 2, 4, 9, 20), "dt_rank": pick(1, 5)}
    return {"kind": kind}


def ffn(pick):
    kind = pick("none", "dense", "moe")
    if kind == "dense":
        return {"kind": kind, "gated": pick(True, False), "intermediate_size": pick(1, 3, 40)}
    if kind == "moe":
        experts = pick(1, 3, 8, 65, 2000)
        return {"kind": kind, "gated": pick(True, False), "intermediate_size": pick(1, 5, 32),
                "experts": experts, "active_experts": pick(1, (experts + 1) // 2, experts),
                "shared_size": pick(0, 1, 8)}
    return {"kind": kind}


def model(pick):
    layers = [{"count": pick(1, 3), "norm_parameters": 0, "mixer": mixer(pick), "ffn": ffn(pick)}
              for _ in range(pick(1, 2, 3))]
    return {"id": "odd", "hidden_size": pick(1, 2, 7, 31, 64), "vocab_size": pick(1, 2, 100),
            "tied_embeddings": pick(True, False), "parameters": {"embedding": 1, "head": 1},
            "context_tokens": pick(None, 8), "layer_kinds": layers}


def options(pick):
    return ["--batch-sizes", pick(1, 3), "--sequence-tokens", pick(1, 5, 33), "--methods",
            pick("full", "lora", "qlora"), "--rank", pick(1, 16), "--checkpointing",
            pick("none", "full"), "--skew", pick(0, 2), "--targets",
            pick("all-linear", "q,v", "experts,router")]


def case_models_of_any_sizes_are_measured_or_refused(worker):
    draw = random.Random(SEED)
    path = worker.folder / "model.json"
    measured = 0
    for _ in range(MODELS):
        one, arguments = model(lambda *of: draw.choice(of)), options(lambda *of: draw.choice(of))
        path.write_text(json.dumps(one))
        done = worker.run("measure", "--dry-run", "--model-file", path, "--seconds", "0.01",
                          "--rounds", "1", *arguments)
        assert done.returncode in (0, 65), (done.returncode, one, arguments, done.stderr)
        if done.returncode == 0:
            json.loads(done.stdout)
            measured += 1
        else:
            assert "to be measured" in done.stderr, (one, arguments, done.stderr)
    assert measured > MODELS / 4, measured
