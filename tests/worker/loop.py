"""The closed loop: the worker measures small batches of a model, the server predicts others from
them, the worker measures those, too. Shared by a test and a benchmark."""
import dataclasses
import json
import re

BATCHES = (1, 2, 4)

MOE = {"architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_size": 256,
       "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 8,
       "intermediate_size": 512, "num_local_experts": 8, "num_experts_per_tok": 2,
       "vocab_size": 4096, "max_position_embeddings": 4096, "tie_word_embeddings": False}
DENSE = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256,
         "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 8,
         "intermediate_size": 768, "vocab_size": 4096, "max_position_embeddings": 4096,
         "tie_word_embeddings": False}
# Name in the catalog, configuration, method.
JOBS = (("loop-moe", MOE, "lora"), ("loop-dense", DENSE, "full"))


class Loop:
    """One server and one worker; `run` takes the worker's arguments and returns the process.
    tokens: of the rows that are calibrated; more: further arguments of each measurement."""

    def __init__(self, run, server, folder, tokens, *more):
        self.run, self.server, self.folder = run, server, folder
        self.tokens, self.more = tokens, more
        # What is predicted: a larger batch, and a length that nothing was measured at.
        self.targets = ((8, tokens), (2, 4 * tokens))
        self.gpu = None

    def worker(self, *arguments):
        done = self.run(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def register(self):
        """Puts the CPU into the catalog; its id is the last word that probe says of it."""
        said = self.worker("probe", "--register", "--backend", "cpu")
        (self.gpu,) = re.findall(r"^cpu 0: .*; id (.+)$", said, re.MULTILINE)

    def calibrate(self, name, config, method):
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(config))
        self.worker("measure", "--model", name, "--model-config", path, "--methods", method,
                    "--batch-sizes", ",".join(map(str, BATCHES)), "--sequence-tokens",
                    str(self.tokens), *self.more)

    def predict(self, name, method, batch, tokens):
        """The server's estimate for a job of such steps."""
        job = {"model": name, "gpu": self.gpu, "method": method_of(method),
               "stack": "llmquote-worker", "precision": "fp32", "gradient_checkpointing": True,
               "batch_size": batch, "dataset": {"queries": 1000, "lengths": {"fixed_tokens": tokens}}}
        self.server.settle()
        answer = self.server.post("/v1/estimates", job)
        assert answer.status == 200, answer
        return answer.json

    def measure(self, name, method, batch, tokens):
        """What the worker measures, without sending it."""
        said = self.worker("measure", "--model", name, "--methods", method, "--batch-sizes",
                           str(batch), "--sequence-tokens", str(tokens), *self.more, "--dry-run")
        return json.loads(said)


@dataclasses.dataclass
class Comparison:
    label: str
    basis: str
    predicted_s: float
    measured_s: float
    load: float  # runnable tasks per core while it was measured, the worker's own included

    @property
    def ratio(self):
        return self.predicted_s / self.measured_s

    @property
    def error(self):
        """Relative, the same for twice as long as for half as long."""
        return max(self.ratio, 1.0 / self.ratio) - 1.0


def method_of(kind):
    return {"kind": kind} if kind == "full" else {"kind": kind, "rank": 16, "targets": ["all-linear"]}


def compare(loop, name, method):
    """A Comparison for each target."""
    results = []
    for batch, tokens in loop.targets:
        estimate = loop.predict(name, method, batch, tokens)
        point = loop.measure(name, method, batch, tokens)
        results.append(Comparison(f"{name} {method}, {batch} x {tokens}", estimate["basis"]["kind"],
                                  batch / estimate["throughput"]["queries_per_s"],
                                  point["step_time_s"], point["device"].get("load", 0.0)))
    return results
