#!/usr/bin/env python3
"""Proofs of the exact accounting that notice nothing prove nothing: one wrong factor in an op's count, and each proof that
covers the op must fail.

    count_mutations.py [MUTATION ...]

The proofs are the walks of tests/roofline/test_brute_force.c (loops), the counting backend of tests/counting (run) and
torch's counter (torch, flop_counter.py). A mutation is made in a copy of the tree, build/mutations, which stays for the
next time.
"""

import argparse
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TREE = ROOT / "build/mutations/tree"
BUILD = ROOT / "build/mutations/build"
TARGETS = ("roofline_brute_force", "counting_run", "alloy_command")
ENOUGH = 4  # lines of a failed build that are shown


@dataclasses.dataclass(frozen=True)
class Mutation:
    file: str  # below src/ops
    right: str
    wrong: str
    proofs: tuple  # that must notice
    case: str = ""  # of flop_counter.py


LOOPS, RUN, TORCH = "loops", "run", "torch"

MUTATIONS = {
    "linear": Mutation(
        "linear.c", "tensor(cost, 2 * n * rows * k)", "tensor(cost, 3 * n * rows * k)", (LOOPS, RUN, TORCH), "llama"
    ),
    "bias": Mutation("linear.c", "vector(cost, n * rows)", "vector(cost, 2 * n * rows)", (LOOPS, RUN)),
    "attention": Mutation(
        "attention.c",
        "tensor(cost, 2 * (d + dv) * repeat",
        "tensor(cost, 3 * (d + dv) * repeat",
        (LOOPS, RUN, TORCH),
        "qwen3_sliding",
    ),
    "attention_cache": Mutation(
        "attention.c",
        "alloy_wide kept = window && past > window - 1 ? window - 1 : past;",
        "alloy_wide kept = window && past > window ? window : past;",
        (LOOPS, RUN),
    ),
    "append": Mutation(
        "append.c",
        "part->width * (window && s->count",
        "part->width * 2 * (window && s->count",
        (LOOPS, RUN),
    ),
    "delta_rule_chunks": Mutation(
        "delta_rule.c", "6 * CHUNK * k * v", "5 * CHUNK * k * v", (LOOPS, TORCH), "qwen3_5_text"
    ),
    "delta_rule_steps": Mutation(
        "delta_rule.c", "tokens * (7 * k * v + 2 * v)", "tokens * (6 * k * v + 2 * v)", (LOOPS, RUN)
    ),
    "conv1d": Mutation(
        "conv1d_silu.c",
        "tensor(cost, 2 * n * taps * channels)",
        "tensor(cost, 2 * n * (taps - 1) * channels)",
        (LOOPS, RUN, TORCH),
        "qwen3_5_text",
    ),
    "experts": Mutation(
        "experts.c",
        "tensor(cost, rows * 6 * hidden * inner)",
        "tensor(cost, rows * 4 * hidden * inner)",
        (LOOPS, RUN, TORCH),
        "qwen3_moe",
    ),
    "experts_read": Mutation(
        "experts.c", "down[0], hidden * inner, read)", "down[0], hidden * inner, read + 1)", (LOOPS, RUN)
    ),
    "norms": Mutation(
        "norms.c", "a->in[1] ? 9 : a->weight[0] ? 4 : 3", "a->in[1] ? 9 : a->weight[0] ? 5 : 3", (LOOPS, RUN)
    ),
    "shared_kv_attention": Mutation(
        "shared_kv_attention.c",
        "tensor(cost, 4 * heads * d * pairs)",
        "tensor(cost, 2 * heads * d * pairs)",
        (LOOPS, RUN, TORCH),
        "deepseek_v4",
    ),
    "hyper_connections": Mutation(
        "hyper_connection.c",
        "tensor(cost, 2 * n * width * mixes)",
        "tensor(cost, 4 * n * width * mixes)",
        (LOOPS, RUN, TORCH),
        "deepseek_v4",
    ),
}


def copy_tree():
    """Files whose text is the same keep their time, so that only what changed is built again."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, stdout=subprocess.PIPE
    ).stdout
    wanted = {name for name in names.decode().splitlines() if (ROOT / name).is_file()}
    for name in wanted:
        source, copy = ROOT / name, TREE / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.exists() or copy.read_bytes() != source.read_bytes():
            shutil.copyfile(source, copy)
    for copy in [path for path in TREE.rglob("*") if path.is_file()]:
        if copy.relative_to(TREE).as_posix() not in wanted:
            copy.unlink()


def build():
    jobs = str(os.cpu_count())
    if not (BUILD / "build.ninja").exists():
        flags = ["-DCMAKE_C_FLAGS=-O1", "-G", "Ninja"]
        subprocess.run(["cmake", "-S", TREE, "-B", BUILD, *flags], check=True, stdout=subprocess.DEVNULL)
    result = subprocess.run(
        ["cmake", "--build", BUILD, "--parallel", jobs, "--target", *TARGETS],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if result.returncode:
        sys.exit("\n".join(result.stdout.decode().splitlines()[-ENOUGH:]))


def passes(proof, case):
    commands = {
        LOOPS: [BUILD / "tests/roofline_brute_force"],
        RUN: [BUILD / "tests/counting_run"],
        TORCH: [sys.executable, TREE / "tests/reference/flop_counter.py", "--alloy", BUILD / "alloy", case],
    }
    result = subprocess.run(commands[proof], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if result.returncode < 0:
        sys.exit(f"{proof} ended by signal {-result.returncode}")
    return result.returncode == 0


def try_mutation(mutation):
    """The proofs that should have noticed and did not."""
    path = TREE / "src/ops" / mutation.file
    text = path.read_text()
    if text.count(mutation.right) != 1:
        sys.exit(f"{mutation.file} has {text.count(mutation.right)} times: {mutation.right}")
    path.write_text(text.replace(mutation.right, mutation.wrong))
    try:
        build()
        return [proof for proof in mutation.proofs if passes(proof, mutation.case)]
    finally:
        path.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mutations", nargs="*", metavar="MUTATION", default=list(MUTATIONS))
    args = parser.parse_args()
    TREE.mkdir(parents=True, exist_ok=True)
    copy_tree()
    build()
    for proof in (LOOPS, RUN):
        if not passes(proof, ""):
            sys.exit(f"{proof} fails without a mutation")
    failed = 0
    for name in args.mutations:
        blind = try_mutation(MUTATIONS[name])
        failed += bool(blind)
        seen = ", ".join(proof for proof in MUTATIONS[name].proofs if proof not in blind)
        print(f"{name:20} noticed by {seen or 'none'}" + (f"; NOT by {', '.join(blind)}" if blind else ""), flush=True)
    print(f"{len(args.mutations) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
