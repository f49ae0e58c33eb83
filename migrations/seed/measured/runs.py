#!/usr/bin/env python3
"""Writes runs.csv: the measured tables' training rows in one form, every guess beside its row.

What a source prints is taken as printed; what it leaves out is assumed here and said in `note`.
Nothing is estimated here, and nothing of llmquote's models is used.

    runs.py            writes runs.csv beside it
    runs.py --check    exit status 1 where runs.csv is not what the tables give
"""
import csv
import io
import math
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
COLUMNS = """id source file row model gpu stack gpu_count method rank targets quantization precision
optimizer attention checkpointing options master_weights data tensor pipeline expert context
zero_stage zero_group nodes accumulation_steps batch_size sequence_tokens lengths longest_tokens
step_time_s tokens_per_s_per_gpu queries_per_s peak_memory_bytes memory_scope out_of_memory
capacity_bytes use_time use_memory note""".split()

GB = 1e9  # bytes
GIB = 2.0**30  # bytes
NODE_GPUS = 8  # devices of one host: every machine in these tables has 8 or fewer
ALL_LINEAR = "all-linear"
TORCHTUNE_TARGETS = "q;v;o;gate;up;down"
# Tokens that stand for "no context at all fits" where a table of longest contexts says OOM; ASSUMED
NO_CONTEXT_TOKENS = 512
ALPACA_LLAMA_MAX_TOKENS = 1304  # longest Alpaca example with Llama 2's tokenizer; source: litgpt


def base(file, row, mapped, raw):
    """The columns that every table tells alike."""
    run = dict.fromkeys(COLUMNS, "")
    run.update(file=file, row=row, model=mapped["model"], gpu=mapped["gpu"], stack=mapped["stack"],
               gpu_count=int(raw["n_gpus"]), method=raw["method"].lower(), rank=0,
               precision="fp8" if "float8" in raw["precision"] else raw["precision"][:4],
               optimizer="adamw", attention="flash", checkpointing="none", options=[],
               master_weights=0, tensor=1, pipeline=1, expert=1, context=1, zero_stage=0,
               zero_group=0, accumulation_steps=int(raw["grad_accum"] or 1),
               out_of_memory=int(raw["peak_mem"] == "OOM"), memory_scope="unknown", note=[])
    if raw["micro_batch"]:
        run["batch_size"] = int(raw["micro_batch"])
    if raw["peak_mem"] not in ("", "OOM"):
        unit = GIB if raw["peak_mem_unit"].startswith("GiB") else GB
        run["peak_memory_bytes"] = float(raw["peak_mem"]) * unit
    return run


def spread(run):
    """Data ranks and hosts from the other groups."""
    groups = run["tensor"] * run["pipeline"] * run["context"]
    run["data"], rest = divmod(run["gpu_count"], groups)
    assert rest == 0, run
    run["nodes"] = math.ceil(run["gpu_count"] / NODE_GPUS)


def token_rate(run, tokens_per_s_per_gpu):
    """Rows per second and the time of a micro-batch from a rate in tokens of rows of one length."""
    run["queries_per_s"] = tokens_per_s_per_gpu * run["gpu_count"] / run["sequence_tokens"]
    run["step_time_s"] = run["batch_size"] * run["data"] / run["queries_per_s"]
    run["tokens_per_s_per_gpu"] = tokens_per_s_per_gpu


def litgpt(run, raw):
    """Alpaca at its natural lengths: time by the mean, memory by the longest row."""
    run["source"] = "litgpt"
    # r = 8 on q and v gives the printed trainable parameters of every model, e.g. Llama 2 7B:
    # 32 layers * 2 matrices * 8 * (4096 + 4096) = 4,194,304.
    run.update(rank=8, targets="q;v", quantization=raw["quant"].removeprefix("bnb."),
               lengths="alpaca", longest_tokens=int(raw["seq_len"]), memory_scope="active")
    run["accumulation_steps"] = 128 // run["gpu_count"] // run["batch_size"]
    if run["gpu_count"] > 1:
        run.update(zero_stage=3, checkpointing="full")
        run["note"].append("FSDP shards flat parameters in which frozen and trained ones are mixed")
    spread(run)
    if raw["step_time_s"]:
        run["step_time_s"] = float(raw["step_time_s"])
        run["queries_per_s"] = run["batch_size"] * run["data"] / run["step_time_s"]
    if not run["model"].startswith("llama-2"):
        run["note"].append("alpaca is in Llama 2 tokens; this tokenizer makes up to 20 % fewer")
    run["note"].append("the loss is in chunks of 128 tokens, but all logits are kept")
    return bool(run["step_time_s"]), True


TORCHTUNE_OPTIONS = {"Compile": "compile", "Chunked Cross Entropy": "chunked-loss",
                     "Fuse optimizer step into backward": "optimizer-in-backward",
                     "Activation Offloading": "offload-activations"}


def torchtune_recipe(run, raw):
    """Rows 1-8: the recipes' defaults with compile."""
    run["options"] = ["compile", "chunked-loss"]
    run["checkpointing"] = "full"
    if run["method"] == "full" and run["gpu_count"] == 1:
        run["optimizer"] = "paged-adamw-8bit"
        run["options"].append("optimizer-in-backward")
        run["note"].append("optimizer and its fusion are the recipe's defaults, not printed")
    if run["method"] != "full":
        run.update(rank=8 if run["gpu_count"] == 1 else 16, targets=TORCHTUNE_TARGETS)
    if run["gpu"] == "RTX-A6000":
        run["checkpointing"] = "none"
        run["note"].append("without checkpointing, against the recipe: with it LoRA would run at "
                           "225 of the card's 155 TFLOP/s; memory is twice the RTX 4090's, too")
    rate = float(raw["throughput"])
    if run["gpu_count"] > 1:
        run["zero_stage"] = 3
        rate /= run["gpu_count"]
        run["note"].append("tokens/s of all 8 GPUs: per GPU they would exceed the matrix peak "
                           "(70B full: 8 * 70e9 * 1568 = 880 TFLOPS)")
        if run["model"] == "llama-3.1-405b":
            run["batch_size"] = 1
            run["note"].append("batch 1: two rows' logits and activations would not fit in 44.8 GB")
        if "CPU offload" in raw["notes"]:
            run["options"].append("offload-optimizer")
    return rate


def torchtune_flags(run, raw):
    """Rows 9-18: flags added one by one."""
    flags = raw["framework"]
    run["memory_scope"] = "active"
    run["options"] = [option for flag, option in TORCHTUNE_OPTIONS.items() if flag in flags]
    if raw["act_ckpt"] == "True":
        run["checkpointing"] = "full"
    if run["method"] != "full":
        run.update(rank=64, targets=TORCHTUNE_TARGETS)
        run["options"].remove("optimizer-in-backward")
        run["note"].append("no optimizer-in-backward and no 8-bit AdamW, as the table says")
    elif "8-bit AdamW" in flags:
        run["optimizer"] = "adamw-8bit"
    return float(raw["throughput"])


def torchtune(run, raw):
    run["source"] = "torchtune"
    run["sequence_tokens"] = run["longest_tokens"] = int(raw["seq_len"])
    rate = (torchtune_recipe if run["row"] <= 8 else torchtune_flags)(run, raw)
    spread(run)
    if run["method"] != "full":
        run["note"].append(f"rank {run['rank']} on q, v, o and the MLP: the recipe's default, "
                           "not printed")
    if run["method"] == "qlora":
        run["quantization"] = "nf4-dq"
        run["note"].append("torchao's NF4 quantises its scales too")
    if run["row"] == 9:
        # Rows are padded to the longest of two, and their lengths are not printed.
        run.update(sequence_tokens="", longest_tokens="", tokens_per_s_per_gpu=rate)
        run["note"].append("padded, not packed: lengths unknown, tokens/s not comparable")
        return False, False
    token_rate(run, rate)
    return True, True


def torchtitan(run, raw):
    """FSDP2 with fp32 shards; the batch belongs to a data rank."""
    run["source"] = "torchtitan"
    run.update(master_weights=1, zero_stage=3, memory_scope="reserved",
               checkpointing=raw["act_ckpt"].split()[0])
    sizes = dict(re.findall(r"(TP|PP|CP)(\d+)", raw["parallelism"]))
    run.update(tensor=int(sizes.get("TP", 1)), pipeline=int(sizes.get("PP", 1)),
               context=int(sizes.get("CP", 1)))
    text = raw["framework"].lower()
    if "compile" in text or run["precision"] == "fp8":
        run["options"].append("compile")
    spread(run)
    if run["pipeline"] > 1:
        run["zero_stage"] = 2
        run["accumulation_steps"] = run["pipeline"]
        run["batch_size"] //= run["pipeline"]
        run["note"].append("the local batch runs as one micro-batch per stage (torchtitan's "
                           "default; the gain of interleaving agrees); weights stay gathered "
                           "between micro-batches")
    for word, note in (("interleaved", "interleaved schedule"), ("async", "asynchronous TP"),
                       ("rowwise", "float8 scales by row")):
        if word in text + raw["precision"]:
            run["note"].append(note)
    if run["gpu"].startswith("H200"):
        run["options"].append("chunked-loss")
        run["note"].append("the loss is compiled, too: 47 GiB leave no room for all logits in fp32")
    if raw["act_ckpt"] == "selective layer":
        run["note"].append("selective by layer: every second layer is recomputed")
    if "torchtitan 2024" in text:
        run["note"].append("compile not stated: assumed with float8 alone")
    run["sequence_tokens"] = run["longest_tokens"] = int(raw["seq_len"])
    token_rate(run, float(raw["throughput"]))
    return True, bool(raw["peak_mem"])


def internevo(run, raw):
    """ZeRO-1 with fp32 copies in the sharded optimizer; FSDP rows shard the weights too."""
    run["source"] = "internevo"
    run.update(master_weights=1, zero_stage=1,
               checkpointing="full" if raw["act_ckpt"] == "True" else "none")
    sizes = dict(re.findall(r"(TP|PP)(\d+)", raw["parallelism"]))
    run.update(tensor=int(sizes["TP"]), pipeline=int(sizes.get("PP", 1)))
    group = re.search(r"group (\d+)", raw["parallelism"])
    run["zero_group"] = int(group[1]) if group else 0
    if raw["parallelism"].endswith("FSDP True"):
        run["zero_stage"] = 3
    spread(run)
    run["sequence_tokens"] = run["longest_tokens"] = int(raw["seq_len"])
    if "pack_sample_into_one=True" in raw["framework"]:
        run["note"].append("samples packed into one row of batch * 2048 tokens, attention by sample")
    if raw["throughput"]:
        token_rate(run, float(raw["throughput"]))
    return bool(raw["throughput"]), bool(raw["peak_mem"])


def xtuner(run, raw):
    """DeepSpeed ZeRO-3; sequence parallel ranks share a row."""
    run["source"] = "xtuner"
    run.update(master_weights=1, zero_stage=3, checkpointing="full")
    run["context"] = int(re.search(r"seq-parallel (\d+)", raw["parallelism"])[1])
    spread(run)
    run["sequence_tokens"] = run["longest_tokens"] = int(raw["seq_len"])
    token_rate(run, float(raw["throughput"]))
    run["note"].append("accumulation not printed: 1 assumed")
    return True, False


def llamafactory(run, raw):
    run["source"] = "llamafactory"
    run.update(rank=8, targets=ALL_LINEAR, sequence_tokens=1024, longest_tokens=1024)
    token_rate(run, float(raw["throughput"]))
    run["note"] += ["rows taken as 1024 tokens each, the maximum: lengths not stated",
                    "LoRA on all linear layers: not in the table"]
    return True, True


def unsloth_epoch(run, raw):
    run["queries_per_s"] = float(raw["throughput"])
    run["step_time_s"] = run["batch_size"] / run["queries_per_s"]
    if "Alpaca" not in raw["task"]:
        run["note"].append("lengths of this data set not known")
        return False, False
    run.update(lengths="alpaca", longest_tokens=ALPACA_LLAMA_MAX_TOKENS)
    return True, True


def unsloth_context(run, raw):
    run.update(rank=32, capacity_bytes=float(raw["peak_mem"]) * GIB, peak_memory_bytes="")
    run["out_of_memory"] = int(raw["seq_len"] == "OOM")
    tokens = NO_CONTEXT_TOKENS if run["out_of_memory"] else int(raw["seq_len"])
    run["sequence_tokens"] = run["longest_tokens"] = tokens
    if run["out_of_memory"]:
        run["note"].append("no context fits: taken as one of 512 tokens")
    if "offloaded" in raw["act_ckpt"]:
        run["options"].append("offload-activations")
    run["note"].append("capacity taken in GiB")
    return False, True


def unsloth(run, raw):
    """Notebook settings where the table has none: r = 16 on all linear layers, checkpointing."""
    run["source"] = "unsloth"
    run.update(rank=16, targets=ALL_LINEAR, memory_scope="reserved")
    if raw["set"] == "unsloth_maxctx":
        return unsloth_context(run, raw)
    if run["gpu"] == "T4":
        run["precision"] = "fp16"
        run["optimizer"] = "adamw-8bit"
        run["note"].append("T4 has no FlashAttention 2: HF taken as eager, unsloth as xformers")
    run["precision"] = run["precision"] or "bf16"
    run["note"].append("rank 16 on all linear layers, checkpointing: the notebooks' settings")
    if raw["set"] == "unsloth_epoch":
        return unsloth_epoch(run, raw)
    run["note"].append("batch, lengths and steps not in the table")
    return False, False


def eager(run, framework):
    """Plain Transformers without FlashAttention 2; on a T4 there is none."""
    if run["stack"] != "hf-2024":
        return False
    return run["gpu"] == "T4" or "FA2" not in framework


def unsloth_llamafactory(run, raw):
    run["checkpointing"] = "full"
    spread(run)
    if run["method"] == "qlora":
        run["quantization"] = "nf4-dq"
        run["note"].append("double quantisation is both trainers' default")
    if run["stack"] == "unsloth-2024":
        run["options"] = ["compile", "chunked-loss"]
    if eager(run, raw["framework"]):
        run["attention"] = "eager"
    return (llamafactory if run["row"] <= 5 else unsloth)(run, raw)


TABLES = {"internevo.csv": internevo, "litgpt_resource_tables.csv": litgpt,
          "torchtitan.csv": torchtitan, "torchtune.csv": torchtune,
          "unsloth_llamafactory.csv": unsloth_llamafactory, "xtuner.csv": xtuner}


def text(value):
    if isinstance(value, float):
        return f"{value:.10g}" if value < 1e6 else f"{value:.0f}"
    if isinstance(value, list):
        return ";".join(value)
    return str(value)


def runs():
    """Yields one dictionary per row that the mapping says trains or bounds memory."""
    tables = {name: list(csv.DictReader(open(HERE / name, newline=""))) for name in TABLES}
    for mapped in csv.DictReader(open(HERE / "mapping.csv", newline="")):
        if mapped["use"] not in ("yes", "capacity"):
            continue
        raw = tables[mapped["file"]][int(mapped["row"]) - 1]
        run = base(mapped["file"], int(mapped["row"]), mapped, raw)
        use_time, use_memory = TABLES[mapped["file"]](run, raw)
        run["note"] = "; ".join(run["note"])
        run.update(id=f"{run['source']}-{run['row']}", use_time=int(use_time),
                   use_memory=int(use_memory))
        yield {column: text(run[column]) for column in COLUMNS}


def main():
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(runs())
    path = HERE / "runs.csv"
    if "--check" in sys.argv[1:]:
        return 0 if path.read_text() == out.getvalue() else 1
    path.write_text(out.getvalue())
    return 0


if __name__ == "__main__":
    sys.exit(main())
