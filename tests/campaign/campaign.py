"""Long random trials of the command (script/campaign): what docs/reliability.md promises, tried with seeds.

Each part draws trial after trial from (seed, number), so one can be repeated: --only PART --first NUMBER --count 1. A trial
that breaks a promise is a line of the report, and what it was made of stays in build/campaign.
"""

import argparse
import datetime
import hashlib
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/attacks"))
import attack  # noqa: E402

GOLDEN = ROOT / "tests/golden"
MODELS = ["qwen3", "qwen3_moe", "qwen3_5", "llama_linear_sharded", "dsv4"]
DOCUMENTED = set(range(len(attack.STATUSES)))  # exit codes
KEPT = ROOT / "build/campaign"


class Broken(Exception):
    pass


def require(condition, text):
    if not condition:
        raise Broken(text)


class Trial:
    """One draw: a folder, random numbers, and the command."""

    def __init__(self, scratch, part, seed, number):
        self.scratch, self.number = scratch, number
        self.random = random.Random(f"{part} {seed} {number}")
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=scratch.folder))
        self.lines = []

    def run(self, *words, row=None, most_bytes=1 << 30, codes=None):
        answer = attack.run(self.scratch, [str(attack.COMMAND), *words], row)
        self.lines.append(" ".join(repr(str(word)[:300]) for word in words))
        require(not answer.hung, "did not end")
        require(not answer.signal, f"signal {answer.signal}")
        require(answer.code in (codes or DOCUMENTED), f"exit code {answer.code}: {answer.err[-2000:]}")
        require("Sanitizer" not in answer.err and "runtime error:" not in answer.err, answer.err[-2000:])
        errors = [line for line in answer.err.splitlines() if line.startswith("alloy: ")]
        if row is None or row.stdout == "file":
            require(len(errors) == (answer.code > 1), f"{len(errors)} lines of error with code {answer.code}")
        require(attack.SLOW or answer.bytes <= most_bytes, f"{answer.bytes >> 20} MiB")
        require(attack.SLOW or answer.seconds <= 30, f"{answer.seconds:.1f} s")
        return answer


# ---- Random configs --------------------------------------------------------------------------------------------------


def random_config(draw):
    """One of the sound configs of every family and composition, with tiny odd sizes."""
    sources = [GOLDEN / name / "config.json" for name in MODELS]
    sources += sorted((ROOT / "tests/composed").glob("*.json"))
    sources += [ROOT / f"examples/configs/{name}.json" for name in ("tiny_hybrid", "deepseek-v4-tiny")]
    config = json.loads(draw.choice(sources).read_text())
    inner = config.get("text_config", config)
    layers = draw.randint(1, 3)
    for key in ("layer_types", "ffn_types", "mlp_layer_types"):
        if isinstance(inner.get(key), list) and inner[key]:
            inner[key] = [draw.choice(inner[key]) for _ in range(layers)]
    for key in ("compress_ratios", "layer_overrides"):
        if isinstance(inner.get(key), list):
            inner[key] = inner[key][:layers]
    inner["num_hidden_layers"] = layers
    heads, groups = draw.choice([(1, 1), (2, 1), (3, 3), (4, 2), (6, 2)])
    small = {
        "hidden_size": draw.choice([8, 10, 16, 24, 33, 48]),
        "intermediate_size": draw.choice([1, 7, 16, 33]),
        "moe_intermediate_size": draw.choice([1, 8, 17]),
        "vocab_size": draw.choice([3, 17, 64, 101]),
        "head_dim": draw.choice([2, 6, 8, 16]),
        "num_experts": draw.choice([2, 3, 8]),
        "num_experts_per_tok": draw.choice([1, 2]),
        "tie_word_embeddings": draw.random() < 0.5,
        "max_position_embeddings": draw.choice([16, 100, 4096]),
    }
    for key, value in small.items():
        if key in inner and draw.random() < 0.5:
            inner[key] = value
    if "num_attention_heads" in inner and "num_key_value_heads" in inner and draw.random() < 0.4:
        inner["num_attention_heads"], inner["num_key_value_heads"] = heads, groups
    for key in ("eos_token_id", "bos_token_id", "pad_token_id"):
        if key in inner:
            inner[key] = 0
    return config


def try_config(trial):
    draw, folder = trial.random, trial.folder
    path = folder / "config.json"
    path.write_text(json.dumps(random_config(draw)))
    info = trial.run("info", path)
    trial.run("roofline", path, "--accounting", "both")
    made = trial.run("init", path, "--out", folder / "m", "--seed", str(draw.randint(0, 99)))
    require((info.code == 0) == (made.code == 0) or made.code in (4, 10), f"info {info.code}, init {made.code}")
    if made.code:
        return "refused"
    trial.run("verify", folder / "m", "--tokens", str(draw.randint(1, 12)), codes={0})
    dtype, names = draw.choice(["f32", "bf16", "f16", "fp8", "fp4"]), draw.choice(["transformers", "release", "memory"])
    words = ["convert", folder / "m", "--out", folder / "c", "--dtype", dtype]
    words += ["--names", names] if draw.random() < 0.5 else []
    words += ["--max-shard-size", str(draw.randint(1000, 100000))] if draw.random() < 0.5 else []
    if trial.run(*words).code == 0:
        trial.run("verify", folder / "c", "--tokens", "3", "--cpu", "generic", codes={0})
    return "valid"


# ---- Mutated models --------------------------------------------------------------------------------------------------


def change_bytes(draw, data, most):
    data = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 5])):
        at = draw.randrange(min(len(data), most)) if data else 0
        kind = draw.randrange(5)
        if kind == 0 and data:
            data[at] = draw.choice(b'0123456789{}[]",:-.eE \\\x00\xff')
        elif kind == 1:
            data[at:at] = draw.choice(
                [b"9" * 20, b"-1", b"null", b"[", b"{}", b"\\ud800", b"1e400", b"NaN", b"\xff", b'"']
            )
        elif kind == 2:
            del data[at : at + draw.choice([1, 2, 8, 100])]
        elif kind == 3:
            data[at:at] = data[at : at + draw.randrange(1, 64)]
        elif data:
            data[at] ^= 1 << draw.randrange(8)
    return bytes(data[: draw.randrange(len(data) + 1)] if draw.random() < 0.05 else data)


def change_value(draw, value):
    """One value of a document becomes another."""
    if isinstance(value, (dict, list)) and value and draw.random() < 0.9:
        key = draw.choice(list(value) if isinstance(value, dict) else range(len(value)))
        value[key] = change_value(draw, value[key])
        return value
    return draw.choice([0, -1, 1, 2, 3, 7, 2**31, 2**63, 1.5, True, None, "", "x", [], {}, [1], 1e308, 65536])


def change_json(draw, data):
    return json.dumps(change_value(draw, json.loads(data))).encode()


def try_model(trial):
    draw, folder = trial.random, trial.folder
    source = draw.choice([GOLDEN / name for name in MODELS])
    model = attack.copied(source)(folder)["model"]
    if source.name == "qwen3":
        shutil.copyfile(attack.MOBY / "tokenizer.json", model / "tokenizer.json")
    path = draw.choice(sorted(model.iterdir()))
    data = path.read_bytes()
    if path.suffix == ".safetensors":
        size = int.from_bytes(data[:8], "little")
        if draw.random() < 0.5:
            data = change_bytes(draw, data, size + 8)
        else:
            header = (
                change_json(draw, data[8 : 8 + size])
                if draw.random() < 0.5
                else change_bytes(draw, data[8 : 8 + size], size)
            )
            data = len(header).to_bytes(8, "little") + header + data[8 + size :]
    else:
        data = change_json(draw, data) if draw.random() < 0.5 else change_bytes(draw, data, len(data))
    path.write_bytes(data)
    words = ["-p", "ab"] if path.name == "tokenizer.json" else ["--ids", "1,2,3"]
    answer = trial.run(
        "generate", model, *words, "-n", "3", "--ignore-eos", "-t", "1", *draw.choice([[], ["--sample"], ["--no-mmap"]])
    )
    return "opened" if answer.code == 0 else "refused"


# ---- Tokenizers, kills, command lines, fuzzers -----------------------------------------------------------------------


WRITERS = {  # what a trial runs; TARGET is what it writes
    "init": ["init", "MODEL", "--out", "TARGET"],
    "convert": ["convert", "MODEL", "--out", "TARGET", "--dtype", "bf16"],
    "init --force": ["init", "MODEL", "--out", "TARGET", "--seed", "5", "--force"],
    "convert --force": ["convert", "MODEL", "--out", "TARGET", "--dtype", "bf16", "--force"],
    "logits": ["logits", "MODEL", "--ids", ",".join(["1"] * 40), "--out", "TARGET", "--hidden"],
    "routing": ["logits", "MODEL", "--ids", ",".join(["1"] * 40), "--out", "-", "--routing-out", "TARGET"],
    "html": ["roofline", "MODEL", "--html", "TARGET"],
    "svg": ["roofline", "MODEL", "--svg", "TARGET"],
}


def contents(path):
    """What stands there, by hashes; None: nothing, or a folder that is no model."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if not (path / "config.json").exists():
        return None
    return {file.name: contents(file) for file in path.iterdir() if not file.name.startswith(".")}


def is_killed(trial, words, seconds):
    """Runs the words and kills them after so long. False: they were done before."""
    process = subprocess.Popen(
        [str(attack.COMMAND), *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=trial.scratch.env,
    )
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def try_kill(trial):
    """A writer is killed at a random moment: the old stands there or the new, and a later run writes the new."""
    draw, folder = trial.random, trial.folder
    kind = draw.choice(sorted(WRITERS))
    model = GOLDEN / ("qwen3_moe" if kind == "routing" else draw.choice(MODELS))
    target, finished = folder / "target/it", folder / "finished"

    def words(path, *more):
        return [{"MODEL": model, "TARGET": path}.get(word, word) for word in WRITERS[kind]] + list(more)

    began = time.monotonic()
    trial.run(*words(finished), codes={0})
    duration = time.monotonic() - began
    new = contents(finished)
    for _ in range(30):
        shutil.rmtree(target.parent, ignore_errors=True)
        target.parent.mkdir()
        if kind.endswith("--force"):
            trial.run("init", model, "--out", target, codes={0})
        elif not kind.startswith(("init", "convert")) and draw.random() < 0.5:
            target.write_bytes(b"old")
        old = contents(target)
        killed = is_killed(trial, words(target), draw.random() * duration)
        now = contents(target)
        require(now in (old, new), f"neither the old nor the new stands there: {now}")
        forced = ["--force"] if kind in ("init", "convert") and now == new else []
        trial.run(*words(target, *forced), codes={0})
        require(contents(target) == new, "a later run does not write the new")
        if killed:
            return kind
    raise Broken("30 runs ended before they were killed")


def flags_of(scratch):
    """{command: its flags}, as its help prints them."""
    found = {}
    overview = attack.run(scratch, [str(attack.COMMAND), "--help"]).out.decode()
    commands = [line.split()[0] for line in overview.split("Commands:\n")[1].split("\n\n")[0].splitlines()]
    for command in commands:
        text = attack.run(scratch, [str(attack.COMMAND), command, "--help"]).out.decode()
        found[command] = [word for line in text.splitlines() for word in line.split()[:2] if word.startswith("--")]
    return found


VALUES = ["", "0", "-1", "1", "3", "1e9", "1e400", "nan", "inf", "99999999999999999999", "0x10", "4x", "1,2,3", "-", "a=b", "--",
          "/no/such", "\u202e", b"\xff\xfe", "decode:4", "prefill:0", "f32", "host:x", "zipf:nan", "compute=5e-324", "9" * 100000]  # fmt: skip


def try_line(trial):
    draw, flags = trial.random, trial.flags
    command = draw.choice(sorted(flags))
    model = draw.choice([GOLDEN / "qwen3", GOLDEN / "qwen3_moe", attack.MOBY, "", "/no/such", GOLDEN])
    words = [command] + ([model] if draw.random() < 0.9 else [])
    for _ in range(draw.choice([0, 1, 2, 3, 6])):
        flag = draw.choice(flags[command])
        if flag in ("--out", "--html", "--svg", "--routing-out"):
            words += [flag, draw.choice([trial.folder / "out", "", "-", trial.folder / "no/such", trial.folder])]
        elif flag not in ("--host-refresh", "--measure"):
            words += [flag] + ([draw.choice(VALUES)] if draw.random() < 0.7 else [])
    row = attack.Row("", "", stdout=draw.choice(["file"] * 6 + ["full", "closed", "broken"]),
                     stdin=draw.choice(["null", "closed"]), env={"LC_ALL": draw.choice(["C", "de_DE.UTF-8", "x"])})  # fmt: skip
    answer = trial.run(*words, row=row)
    return attack.STATUSES[answer.code]


PARTS = {
    "configs": ("random configs through info, roofline, init, verify, convert", 2000, try_config),
    "models": ("changed models, opened and run for 3 tokens", 20000, try_model),
    "kills": ("kills at random moments of every writer", 500, try_kill),
    "lines": ("odd command lines", 300, try_line),
}
OTHERS = {
    "tokenizers": ("tokenizer.json by a grammar, time and memory watched", 100000),
    "fuzz": ("fuzzers of the parsers, seconds each", 600),
}


def run_part(part, seed, first, count):
    """(trials, outcomes, failures)"""
    outcomes, failures = {}, []
    scratch = attack.Scratch()
    flags = flags_of(scratch) if part == "lines" else None
    for number in range(first, first + count):
        trial = Trial(scratch, part, seed, number)
        trial.flags = flags
        try:
            outcome = PARTS[part][2](trial)
        except Broken as fault:
            outcome = "FAILED"
            kept = KEPT / f"{part}-{seed}-{number}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(trial.folder, kept, symlinks=True, ignore_dangling_symlinks=True)
            (kept / "commands").write_text("\n".join(trial.lines))
            failures.append(
                f"{part} {number}: {fault}\n    {trial.lines[-1][:300] if trial.lines else ''}\n    in {kept}"
            )
            print(failures[-1], flush=True)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        attack.forget(trial.folder)
    scratch.close()
    if part == "configs" and count >= 100 and outcomes.get("valid", 0) * 2 < count:
        failures.append(f"configs: {outcomes.get('valid', 0)} of {count} were valid, expected half of them")
    return count, outcomes, failures


def run_other(part, seed, count):
    if part == "tokenizers":
        words = [str(attack.BUILD / "tests/tokenizer_generated"), str(count), str(seed)]
    else:
        words = [str(ROOT / "script/fuzz"), str(count)]
    result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, errors="replace")
    KEPT.joinpath(f"{part}.log").write_text(result.stdout + result.stderr)
    lines = [line for line in result.stdout.splitlines() if line.strip()]
    failures = (
        [] if result.returncode == 0 else [f"{part}: ended with {result.returncode}; see build/campaign/{part}.log"]
    )
    return (
        count,
        {"log": f"build/campaign/{part}.log", **({"last": lines[-1][:80]} if lines and part != "fuzz" else {})},
        failures,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="the parts and how many trials each has")
    parser.add_argument("--only", nargs="+", choices=[*PARTS, *OTHERS], help="these parts")
    parser.add_argument("--count", type=int, help="trials (seconds of each fuzzer) instead of the usual number")
    parser.add_argument("--share", type=float, default=1, help="this share of the usual numbers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    options = parser.parse_args()
    every = {**{name: row[:2] for name, row in PARTS.items()}, **OTHERS}
    if options.list:
        for name, (about, count) in every.items():
            print(f"{name:11} {count:7}  {about}")
        return 0
    KEPT.mkdir(parents=True, exist_ok=True)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    print(f"seed {options.seed}, {attack.BUILD.name}, commit {commit}", flush=True)
    table, failed = [], False
    for part in options.only or every:
        count = options.count or max(1, round(every[part][1] * options.share))
        began = time.monotonic()
        run = (
            run_part(part, options.seed, options.first, count)
            if part in PARTS
            else run_other(part, options.seed, count)
        )
        told = ", ".join(
            f"{value} {key}" if isinstance(value, int) else str(value) for key, value in sorted(run[1].items())
        )
        table.append(f"| {every[part][0]} | {run[0]:,} | {told} | {len(run[2])} | {time.monotonic() - began:.0f} s |")
        failed = failed or bool(run[2])
        print("\n".join(run[2]) if part in OTHERS else table[-1], flush=True)
    print(f"\n{datetime.date.today()}, commit {commit}, seed {options.seed}, build {attack.BUILD.name}\n")
    print("| what | count | outcome | failures | time |\n|---|---:|---|---:|---:|")
    print("\n".join(table))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
