#!/usr/bin/env python3
"""A yardstick of the HTTP benchmark: the same job asked of FastAPI, answered by a shorter sum.

usage: fastapi_quote.py PORT PROCESSES

The paper's throughput (Xia et al. 2024, equation 2) at the batch size that its equation 1 gives, the
hours and dollars; none of the terms, intervals and evidence of a real quote. Needs the Debian
packages python3-fastapi and uvicorn.
"""
import math
import sys

import fastapi
import pydantic
import uvicorn

# Mixtral on the math set, A40: equation 2's c0, c1, c2 as fitted there (arXiv 2408.04693).
C0, C1, C2 = 0.3, 0.4, 0.25
GIB = 2.0 ** 30


class Method(pydantic.BaseModel):
    kind: str
    rank: int = pydantic.Field(16, ge=1, le=1024)
    targets: list[str] = []


class Lengths(pydantic.BaseModel):
    name: str


class Dataset(pydantic.BaseModel):
    queries: int = pydantic.Field(ge=1)
    lengths: Lengths
    cutoff_tokens: int = 0
    padding: str = "longest"


class Job(pydantic.BaseModel):
    model: str
    gpu: str
    gpu_count: int = pydantic.Field(1, ge=1)
    method: Method
    active_experts: int = 2
    gradient_checkpointing: bool = True
    dataset: Dataset
    epochs: float = pydantic.Field(1, gt=0)
    batch_size: str = "max"
    stack: str = "hf-2024"
    estimator: str = "default"
    providers: list[str] = []
    confidence: float = pydantic.Field(0.9, gt=0, lt=1)


app = fastapi.FastAPI()


@app.post("/v1/estimates")
async def estimate(job: Job):
    sparsity = job.active_experts / 8
    batch = max(1, math.floor(0.95 * (48 * GIB - 23.35 * GIB) / (148e6 * (0.25 + 0.75 * sparsity) * 40)))
    rate = C0 * math.log(1.0 + batch / (sparsity * C2)) + C1
    duration = job.dataset.queries * job.epochs / rate
    dollars = duration / 3600 * 0.79
    return {"model": job.model, "gpu": job.gpu, "batch_size": batch, "max_batch_size": batch,
            "throughput": {"queries_per_s": rate, "tokens_per_s": rate * 206.0},
            "duration_s": duration,
            "cost": [{"provider": name, "usd_per_gpu_hour": 0.79, "cost_usd": dollars} for name in job.providers],
            "interval": {"level": job.confidence, "queries_per_s": [0.9 * rate, 1.1 * rate],
                         "cost_usd": [dollars / 1.1, dollars / 0.9]},
            "assumptions": job.dict()}


if __name__ == "__main__":
    uvicorn.run("fastapi_quote:app", host="127.0.0.1", port=int(sys.argv[1]), workers=int(sys.argv[2]),
                log_level="critical", access_log=False)
