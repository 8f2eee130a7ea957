#!/usr/bin/env python3
"""Holds Alloy to golden cases (make_golden.py): `alloy compare` and `alloy verify` on each, and a table.

    check_golden.py [--alloy build/release/alloy] [--plugin FILE] FOLDER...      folders of cases

Distances are from the float64 oracle: the largest of all logits, and of each layer's hidden states; transformers' own is that of
float32 eager, for a layer at least 2e-6 of its largest value. NAME, NAME.2, NAME.3 ... are draws of one model. What must hold:

- Of one draw: no distance exceeds transformers' own.
- Of several, which have distances of reordered models beside them: the median over the draws of (Alloy's distance / transformers'
  own) is at most 1, for the logits and for each layer; and no draw's distance exceeds the largest that float32 itself has with
  the model's channels in transformers' order or in another.
- Greedy ids are equal, and `verify` passes, where there are greedy ids.
"""

import argparse
import collections
import json
import math
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def compare(alloy, folder, flags):
    """What `alloy compare` says, whether it passes or not."""
    command = [alloy, "compare", folder, folder / "expected.safetensors", "--json", "--quiet", *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError:
        raise SystemExit(f"{folder}: {done.stderr.strip()}") from None


def shares(folder, rows, farthest):
    """Each row's error as a share of what it may be. Bounds are data: with one that is not a number everything would pass."""
    for bound in farthest:
        if not (math.isfinite(bound) and bound > 0):
            raise SystemExit(f"{folder}: a bound of {bound}, expected a finite number above 0")
    # an error that is not finite is null
    return [
        math.inf if row["error"] is None else row["error"] / bound for row, bound in zip(rows, farthest, strict=True)
    ]


def verify(alloy, folder, flags):
    done = subprocess.run([alloy, "verify", folder, *flags], capture_output=True, text=True)
    print(f"--- alloy verify {folder}\n{done.stdout}{done.stderr}", flush=True)
    return done.returncode == 0


class Draw:
    """Distances of one case as shares of what they may be: the last is that of the logits, before it one a layer."""

    def __init__(self, alloy, folder, flags):
        told = compare(alloy, folder, flags)
        note = json.loads((folder / "expected.json").read_text())
        rows = [*told["layers"], told["logits"]]
        of_logits = note.get("reordered_fp32_max_abs_error", [])
        of_layers = note.get("reordered_fp32_hidden_error", [])
        orders = [*zip(*of_layers, strict=True), of_logits] if of_logits else [[]] * len(rows)
        self.has_orders = bool(of_logits)
        if not all(math.isfinite(error) for order in orders for error in order):
            raise SystemExit(f"{folder}: expected.json: an error that is not finite")
        self.of_own = shares(folder, rows, [row["bound"] for row in rows])
        self.of_all = shares(
            folder, rows, [max([row["bound"], *order]) for row, order in zip(rows, orders, strict=True)]
        )
        self.greedy = told.get("greedy")
        self.verified = verify(alloy, folder, flags) if self.greedy else None


def judge(name, draws):
    """One line of the table, and whether what must hold does."""
    several = len(draws) > 1
    if several != draws[0].has_orders:
        raise SystemExit(f"{name}: {len(draws)} draws, but expected.json is that of another make_golden.py")
    medians = [statistics.median(shares) for shares in zip(*(draw.of_own for draw in draws), strict=True)]
    worst = [max(shares) for shares in zip(*(draw.of_all for draw in draws), strict=True)]
    greedy = all(draw.greedy["passed"] for draw in draws if draw.greedy)
    verified = all(draw.verified for draw in draws if draw.greedy)
    beyond = sum(draw.of_own[-1] > 1 for draw in draws)
    passed = max(medians) <= 1 and max(worst) <= 1 and greedy and verified
    cells = [name, len(draws), f"{medians[-1]:.2f}", f"{max(medians[:-1]):.2f}"]
    cells += [f"{worst[-1]:.2f}", f"{max(worst[:-1]):.2f}"] if several else ["", ""]
    cells += [
        beyond or "",
        "equal" if greedy else "DIFFER",
        "pass" if verified else "FAIL",
        "pass" if passed else "FAIL",
    ]
    return cells, passed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alloy", type=pathlib.Path, default=ROOT / "build/release/alloy")
    parser.add_argument("--plugin", type=pathlib.Path, metavar="FILE")
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    flags = ["--plugin", options.plugin] if options.plugin else []
    shapes = collections.defaultdict(list)
    for folder in options.folders:
        for case in sorted(path.parent for path in folder.glob("*/expected.json")):
            shapes[case.with_name(case.name.partition(".")[0])].append(Draw(options.alloy, case, flags))

    print(
        "Distances from float64, as shares: of transformers' float32 (median of the draws) and of the farthest of its orders"
    )
    print("(largest of the draws); beyond: draws whose logits are farther than transformers' own.\n")
    line = "{:<36} {:>5} {:>9} {:>9} {:>9} {:>9} {:>6}  {:<6} {:<6} {}"
    print(line.format("", "", "of own:", "", "of all:", "", "", "", "", ""))
    print(line.format("case", "draws", "logits", "layers", "logits", "layers", "beyond", "greedy", "verify", "result"))
    failed = 0
    for name, draws in shapes.items():
        cells, passed = judge(name, draws)
        print(line.format(*(str(cell) for cell in cells)))
        failed += not passed
    print(f"\n{len(shapes)} models, {sum(map(len, shapes.values()))} cases: {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
