#!/usr/bin/env python3
"""Types of the contract and a client that uses them: made, compiled, and asked to quote. Prints TAP.

usage: run.py SERVER NODE_MODULES FOLDER

NODE_MODULES is where `./dev` has npm put what package.json beside this file names, FOLDER where
outputs may go. Without Node or without the modules everything is skipped.
"""
import json
import pathlib
import shutil
import subprocess
import sys
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "http"))
sys.dont_write_bytecode = True

from client import Server  # noqa: E402  (the path has to be set first)

ASK = """import {estimate, inWords, job} from './client.js';
const answer = await estimate(process.argv[2], job);
const refused = await estimate(process.argv[2], {...job, epochs: -1}).catch((fault) => fault.message);
console.log(JSON.stringify({job, duration_s: answer.duration_s, words: inWords(answer), refused}));
"""
WRONG = "import {job} from './client';\nexport const wrong: typeof job = {...job, gpu_count: 'two'};\n"
DEFAULTS = "--default-non-nullable=false"  # a member with a default may be left out
COMPILE = ["--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler",
           "--lib", "es2022,dom"]


def run(*words, **options):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False,
                          timeout=300, **options)


class Claims:
    def __init__(self):
        self.number = self.failed = 0

    def claim(self, name, holds, told=""):
        self.number += 1
        self.failed += not holds
        print(f"{'ok' if holds else 'not ok'} {self.number} - {name}", flush=True)
        if not holds:
            print("# " + str(told).strip().replace("\n", "\n# "))


def ask(node, folder, program):
    """What the compiled client was answered, and what plain HTTP is."""
    server = Server(program).start()
    try:
        address = "http://{}:{}".format(*server.address)
        (folder / "ask.mjs").write_text(ASK)
        done = run(node, folder / "ask.mjs", address)
        told = json.loads(done.stdout) if done.returncode == 0 else {}
        request = urllib.request.Request(address + "/v1/estimates", json.dumps(told.get("job")).encode(),
                                         {"Content-Type": "application/json"})
        return done, told, json.load(urllib.request.urlopen(request)) if told else {}
    finally:
        server.close()


def main():
    program, modules, folder = (pathlib.Path(word).resolve() for word in sys.argv[1:4])
    node = shutil.which("node")
    if node is None or not (modules / "typescript").is_dir():
        print("1..0 # SKIP Node or the modules of tests/clients/package.json are not there; "
              "./dev test fetches them where npm can")
        return 0
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "client.ts", folder)
    (folder / "package.json").write_text('{"type": "module"}\n')
    claims = Claims()
    made = run(node, modules / "openapi-typescript" / "bin" / "cli.js", ROOT / "openapi.yaml", DEFAULTS,
               "-o", folder / "contract.ts")
    claims.claim("types_are_made_of_the_contract", made.returncode == 0, made.stdout + made.stderr)
    tsc = [node, modules / "typescript" / "bin" / "tsc", *COMPILE]
    done = run(*tsc, "client.ts", cwd=folder)
    claims.claim("the_example_client_compiles", done.returncode == 0, done.stdout)
    (folder / "wrong.ts").write_text(WRONG)
    done = run(*tsc, "--noEmit", "wrong.ts", cwd=folder)
    claims.claim("a_wrong_job_does_not_compile", "TS2322" in done.stdout, done.stdout)
    done, told, plain = ask(node, folder, program)
    claims.claim("the_client_is_answered_as_plain_http_is",
                 told and told["duration_s"] == plain["duration_s"], done.stdout + done.stderr)
    claims.claim("the_client_tells_which_field_is_bad", "/epochs: " in told.get("refused", ""), told)
    print(f"1..{claims.number}")
    return int(claims.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
