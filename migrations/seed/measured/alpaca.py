#!/usr/bin/env python3
"""Writes alpaca.csv: the row lengths of Stanford Alpaca, drawn through quantiles.

The litgpt and unsloth tables train on Alpaca at its natural lengths, and no file of those lengths
is at hand. Two of the quantiles are sourced; the others are ASSUMED, and a count of the 52,002
rows with Llama 2's tokenizer would replace them.

    alpaca.py            writes alpaca.csv beside it
    alpaca.py --check    exit status 1 where alpaca.csv differs
"""
import math
import sys
from pathlib import Path

QUERIES = 52002  # rows of alpaca_data.json; source: github.com/tatsu-lab/stanford_alpaca
BINS = 200  # of equal weight, but for rounding
# Share of rows up to so many Llama 2 tokens, prompt template and answer together. 0.96: "256
# accounts for about 96% of the data", github.com/tloen/alpaca-lora finetune.py, 2023. 1.0: longest
# row, litgpt resource tables (litgpt_resource_tables.csv), 2023. All else ASSUMED.
QUANTILES = ((0.0, 40), (0.10, 60), (0.25, 72), (0.50, 95), (0.75, 140), (0.90, 200), (0.96, 256),
             (0.99, 430), (1.0, 1304))


def length_tokens(share):
    """The length at a share of the rows, log-linear between quantiles."""
    for (low, shorter), (high, longer) in zip(QUANTILES, QUANTILES[1:]):
        if share <= high:
            return shorter * (longer / shorter) ** ((share - low) / (high - low))
    raise ValueError(share)


def lines():
    counts = {}
    for i in range(BINS):
        rows = QUERIES * (i + 1) // BINS - QUERIES * i // BINS
        tokens = math.floor(length_tokens((i + 0.5) / BINS) + 0.5)
        counts[tokens] = counts.get(tokens, 0) + rows
    longest = QUANTILES[-1][1]
    counts[max(counts)] -= 1  # one row is known to be the longest
    counts[longest] = 1
    yield "dataset,tokens,queries"
    for tokens in sorted(counts):
        yield f"alpaca,{tokens},{counts[tokens]}"


def main():
    text = "\n".join(lines()) + "\n"
    path = Path(__file__).resolve().parent / "alpaca.csv"
    if "--check" in sys.argv[1:]:
        return 0 if path.read_text() == text else 1
    path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
