#!/usr/bin/env python3
"""Holds the logits and hidden states of models to recorded hashes: a change that must not alter results alters no bit.

    bits.py ALLOY TABLE [--record] NAME=FOLDER...

TABLE has one line a model: its name, the hash of its weights, and the hash of the file that `alloy logits --hidden`
writes for 200 token ids (fewer where the context is shorter). `--record` writes the lines of the models that are named;
without it each model is run and compared with its line. A model without a line is an error, and so is one whose weights
are not those recorded. Only models that other programs make (golden/, real-model/) may have other weights, and are then
reported as not run: torch draws other random numbers on other processors.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import tempfile

TOKENS = 200
MADE_ELSEWHERE = ("golden/", "real-model/")
HEADER = "# name\tweights\tlogits and hidden states (made by `script/bits --record`)\n"


def alloy(*command, **kinds):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **kinds)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def hash_of(*paths):
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:32]


def weights_of(folder):
    return hash_of(folder / "config.json", *sorted(folder.glob("model*.safetensors")))


def results_of(program, folder):
    config = json.loads(alloy(program, "info", folder, "--json"))
    tokens = min(TOKENS, config["max_position_embeddings"])
    ids = [(1 + 7919 * i) % config["vocab_size"] for i in range(tokens)]
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch, "logits.safetensors")
        alloy(program, "logits", folder, "--ids-file", "-", "--hidden", "--out", out, "-q", input=json.dumps(ids))
        return hash_of(out)


def read_table(path):
    if not path.exists():
        return {}
    lines = [line.rstrip("\n").split("\t") for line in path.open() if not line.startswith("#")]
    return {name: (weights, results) for name, weights, results in lines}


def record(program, path, models):
    table = read_table(path)
    for name, folder in models:
        table[name] = (weights_of(folder), results_of(program, folder))
    path.write_text(HEADER + "".join(f"{name}\t{table[name][0]}\t{table[name][1]}\n" for name in sorted(table)))
    print(f"{path}: {len(models)} models recorded, {len(table)} in all")


def check(program, path, models):
    table, counts = read_table(path), {"equal": 0, "DIFFERENT": 0, "MISSING": 0, "not run": 0}
    for name, folder in models:
        weights, expected = table.get(name, (None, None))
        if expected is None:
            verdict, text = "MISSING", f"{path} has no line for it"
        elif weights != weights_of(folder):
            verdict = "not run" if name.startswith(MADE_ELSEWHERE) else "DIFFERENT"
            text = "weights that are not those recorded"
        else:
            found = results_of(program, folder)
            verdict = "equal" if found == expected else "DIFFERENT"
            text = found if verdict == "equal" else f"found {found}, recorded {expected}"
        counts[verdict] += 1
        print(f"{name:32} {verdict:9} {text}", flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return counts["equal"] > 0 and counts["DIFFERENT"] == counts["MISSING"] == 0


def named(text):
    name, _, folder = text.partition("=")
    return name, pathlib.Path(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("alloy", type=pathlib.Path)
    parser.add_argument("table", type=pathlib.Path)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("models", nargs="+", type=named, metavar="NAME=FOLDER")
    arguments = parser.parse_args()
    if arguments.record:
        record(arguments.alloy, arguments.table, arguments.models)
    elif not check(arguments.alloy, arguments.table, arguments.models):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
