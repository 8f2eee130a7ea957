"""docs/measured.md from what `alloy roofline --measure --json` printed for some models.

python3 bench/measured.py MODEL.json ...
"""

import json
import pathlib
import sys

HEAD = """# Measured beside predicted

Made by `script/measure`: models of random weights in bf16, run by Alloy's own engine in canonical arithmetic. The bound
is that of docs/roofline.md in the exact accounting, taken with the reading of the run (activations, keys, values and
states in fp32, the delta rule step by step) and with this machine as it was measured between the runs. Efficiency is
bound / measured; medians.
"""


def scaled(value: float, units: list[tuple[float, str]]) -> str:
    for size, unit in units:
        if value >= size:
            return f"{value / size:.2f} {unit}"
    size, unit = units[-1]
    return f"{value / size:.2f} {unit}"


def seconds(value: float) -> str:
    return scaled(value, [(1, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")])


def per_second(value: float, what: str) -> str:
    return scaled(value, [(1e12, "T" + what), (1e9, "G" + what), (1e6, "M" + what)])


def machine(host: dict) -> list[str]:
    lines = [f"Machine: {host['processor']}, {host['threads']} threads, {host['cpu']} kernels.", ""]
    lines += ["| level | size | read | write | copy |", "|---|---:|---:|---:|---:|"]
    for level in host["levels"]:
        name = f"L{level['level']}" if level["level"] else "memory"
        size = scaled(level["size"], [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")])
        rates = " | ".join(per_second(level[kind], "B/s") for kind in ("read", "write", "copy"))
        lines.append(f"| {name} | {size} | {rates} |")
    peaks = ", ".join(f"{dtype} {per_second(peak, 'FLOP/s')}" for dtype, peak in host["peaks"].items())
    return [*lines, "", f"Linear layers by the dtype of their weights: {peaks}."]


def measurement(model: str, point: dict) -> list[str]:
    total = point["rows"][-1]
    speed = point["tokens"] / total["measured"]
    lines = [
        "",
        f"## {model}: {point['mode']}, {point['tokens']} new tokens after {point['cached']}",
        "",
        f"{speed:.1f} tokens/s. Between the runs: memory {per_second(point['memory_bandwidth'], 'B/s')} "
        f"({point['memory_share']:.2f} of the figure above), linear {per_second(point['compute'], 'FLOP/s')} "
        f"({point['compute_share']:.2f}).",
        "",
        "| kind | module | modules | bound | measured | efficiency | limited by |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for row in point["rows"]:
        note = " (measured below its bound: the machine's model is wrong here)" if row["fault"] else ""
        lines.append(
            f"| {row['kind']} | {row['name'] if row is not total else ''} | {row['modules']} | {seconds(row['bound'])} | "
            f"{seconds(row['measured'])} | {row['efficiency']:.2f} | {row['bottleneck']}{note} |"
        )
    return lines


def main() -> None:
    files = [pathlib.Path(name) for name in sys.argv[1:]]
    if not files:
        sys.exit(__doc__)
    measured = [(file.stem, json.loads(file.read_text())) for file in files]
    lines = [HEAD, *machine(measured[0][1]["host"])]
    for model, result in measured:
        for point in result["measured"]:
            lines += measurement(model, point)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
