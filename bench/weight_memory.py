"""How fast a model runs when only a part of its weights may stay in memory, and that its results stay the same.

    bench/weight_memory.py ALLOY MODEL [--limits 2 4 8] [--tokens 32] [--under BYTES]
    bench/weight_memory.py ALLOY --make FOLDER [--gib 4] [--dtype fp8]     makes a mixture of experts first

Each run is watched from outside: its resident memory (VmRSS and RssFile of /proc/PID/status) is read every 10 ms. A run
without a limit comes first; ids and logits of the others must be its own, to the byte, the mapped weights that are
resident must stay under the limit, and with --under all of the process must; so must a conversion's. Prints one row of docs/memory.md a run;
fails on any difference, and where the run without a limit had no need of one."""

import argparse
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

PROMPT = [(37 * i) % 1000 for i in range(64)]
LAYERS, EXPERTS, FEW_EXPERTS, HIDDEN, INNER = 2, 64, 8, 1024, 512
CHOSEN = 12  # experts a token; the small model has fewer, and its config says so
SLACK = 8 << 20  # of RssFile: the program and its libraries are mapped files too
ELEMENT_BYTES = {"bf16": 2, "fp8": 1, "fp4": 0.53}


def config(layers: int, experts: int) -> dict:
    return {
        "model_type": "alloy",
        "vocab_size": 4096,
        "hidden_size": HIDDEN,
        "num_hidden_layers": layers,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "max_position_embeddings": 4096,
        "initializer_range": 0.05,
        "dtype": "bfloat16",
        "moe_intermediate_size": INNER,
        "num_experts": experts,
        "num_experts_per_tok": min(CHOSEN, experts),
        "layer_types": {"pattern": ["qwen3_attention"], "repeat": layers},
        "ffn_types": {"pattern": ["qwen3_moe"], "repeat": layers},
    }


def source_of(name: str) -> str:
    """The tensor of the small model that a tensor of the large one copies: of experts other parts in each layer, so
    that no two are alike."""
    words = name.split(".")
    if len(words) < 3 or words[1] != "layers":
        return name
    layer = int(words[2])
    words[2] = str(layer % LAYERS)
    if "experts" in words:
        at = words.index("experts") + 1
        step = {"gate_proj": 1, "up_proj": layer, "down_proj": 3 * layer + 1}[words[at + 1]]
        words[at] = str((int(words[at]) // FEW_EXPERTS * step + int(words[at]) + layer // LAYERS) % FEW_EXPERTS)
    return ".".join(words)


def grow(small: pathlib.Path, large: pathlib.Path, layers: int) -> None:
    """A model of `layers` layers of EXPERTS experts from the tensors of a small one: drawing gigabytes is slow."""
    data = (small / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    table = json.loads(data[8:start])
    metadata = table.pop("__metadata__", None)
    names = [name for name in table if ".layers." not in name]
    for name in (name for name in table if ".layers.0." in name):
        for layer in range(layers):
            place = name.replace(".layers.0.", f".layers.{layer}.")
            if ".experts." not in name:
                names.append(place)
            elif ".experts.0." in name:
                names += [place.replace(".experts.0.", f".experts.{e}.") for e in range(EXPERTS)]
    header, offset = {"__metadata__": metadata} if metadata else {}, 0
    for name in names:
        entry = dict(table[source_of(name)])
        if name.endswith("mlp.gate.weight"):
            entry["shape"] = [EXPERTS, HIDDEN]
        size = entry["data_offsets"][1] - entry["data_offsets"][0]
        size *= EXPERTS // FEW_EXPERTS if name.endswith("mlp.gate.weight") else 1
        header[name] = entry | {"data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    large.mkdir(parents=True, exist_ok=True)
    with (large / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            begin, end = table[source_of(name)]["data_offsets"]
            part = memoryview(data)[start + begin : start + end]
            if name.endswith("mlp.gate.weight"):  # rows for the other experts: the same ones, turned by some bytes
                row = len(part) // FEW_EXPERTS
                for i in range(EXPERTS // FEW_EXPERTS):
                    for r in range(FEW_EXPERTS):
                        line, turn = bytes(part[r * row : (r + 1) * row]), 34 * i
                        file.write(line[turn:] + line[:turn])
            else:
                file.write(part)
        os.fsync(file.fileno())
    new = json.loads((small / "config.json").read_text()) | {
        key: value for key, value in config(layers, EXPERTS).items() if key != "dtype"
    }
    (large / "config.json").write_text(json.dumps(new))


def make(alloy: str, folder: pathlib.Path, gib: float, dtype: str) -> pathlib.Path:
    """A model of so many GiB in `dtype`."""
    folder.mkdir(parents=True, exist_ok=True)
    source, drawn, small = folder / "config.json", folder / "drawn", folder / "small"
    source.write_text(json.dumps(config(LAYERS, FEW_EXPERTS)))
    subprocess.run([alloy, "init", source, "--out", drawn, "--force", "--seed", "1", "-q"], check=True)
    if dtype != "bf16":
        subprocess.run([alloy, "convert", drawn, "--out", small, "--force", "--dtype", dtype, "-q"], check=True)
    layers = max(LAYERS, round(gib * 2**30 / (EXPERTS * 3 * HIDDEN * INNER * ELEMENT_BYTES[dtype])))
    grow(drawn if dtype == "bf16" else small, folder / dtype, layers)
    return folder / dtype


def resident(pid: int) -> tuple[int, int]:
    """VmRSS and RssFile, bytes."""
    values = {}
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            key, _, rest = line.partition(":")
            if key in ("VmRSS", "RssFile"):
                values[key] = int(rest.split()[0]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return values.get("VmRSS", 0), values.get("RssFile", 0)


def watched(command: list) -> tuple[str, int, int]:
    """Its output, and the most of VmRSS and RssFile that were seen."""
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    rss = file = 0
    while process.poll() is None:
        now = resident(process.pid)
        rss, file = max(rss, now[0]), max(file, now[1])
        time.sleep(0.01)
    output = process.stdout.read()
    if process.returncode:
        sys.exit(f"{' '.join(str(word) for word in command)}: exit code {process.returncode}")
    return output, rss, file


def run(alloy: str, model: pathlib.Path, tokens: int, limit: int) -> dict:
    flags = ["-q"] + (["--weight-memory", limit] if limit else [])
    ids = ",".join(map(str, PROMPT))
    text, rss, file = watched([alloy, "generate", model, "--ids", ids, "-n", tokens, "--ignore-eos", "--json", *flags])
    answer = json.loads(text)
    logits = model / f"logits-{os.getpid()}.safetensors"
    _, rss_2, file_2 = watched([alloy, "logits", model, "--ids", ids, "--out", logits, *flags])
    digest = hashlib.sha256(logits.read_bytes()).hexdigest()
    logits.unlink()
    return {
        "ids": answer["outputs"][0]["ids"],
        "logits": digest,
        "rss": max(rss, rss_2),
        "file": max(file, file_2),
        "speed": answer["speed"],
        "memory": answer.get("weight_memory"),
    }


def row(name: str, limit: int, result: dict) -> str:
    memory, speed = result["memory"], result["speed"]
    read = f"{memory['read'] / 1e9:.2f}" if memory else "-"
    return (
        f"| {name} | {limit / 2**20:.0f} | {result['rss'] / 2**20:.0f} | {result['file'] / 2**20:.0f} | "
        f"{speed['prefill_tokens_per_second']:.1f} | {speed['decode_tokens_per_second']:.2f} | {read} |"
    )


def check_conversion(alloy: str, model: pathlib.Path, limit: int) -> list[str]:
    """What is wrong with a conversion under the limit; tests/engine/test_residency.c compares its bytes."""
    folder = model / f"converted-{os.getpid()}"
    _, rss, file = watched([alloy, "convert", model, "--out", folder, "-q", "--weight-memory", limit])
    shutil.rmtree(folder)
    print(f"convert, limit {limit / 2**20:.0f} MiB: VmRSS {rss / 2**20:.0f} MiB, RssFile {file / 2**20:.0f} MiB")
    return [f"convert: {file} bytes of files are resident, the limit is {limit}"] if file > limit + SLACK else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("alloy")
    parser.add_argument("model", nargs="?", type=pathlib.Path)
    parser.add_argument("--make", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--gib", type=float, default=4)
    parser.add_argument("--dtype", choices=["bf16", "fp8", "fp4"], default="fp8")
    parser.add_argument("--limits", type=int, nargs="+", default=[2, 4, 5, 8], help="parts of the model's size")
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--under", type=int, default=0, help="most bytes of VmRSS where the limit is less")
    options = parser.parse_args()
    if (options.model is None) == (options.make is None):
        parser.error("one of MODEL and --make FOLDER is needed")
    begin = time.time()
    model = options.model or make(options.alloy, options.make, options.gib, options.dtype)
    size = sum(file.stat().st_size for file in model.glob("*.safetensors"))
    print(f"{model}: {size / 2**30:.2f} GiB of weights, {time.time() - begin:.0f} s to make\n")
    print("| limit | MiB | VmRSS, MiB | RssFile, MiB | prefill, tokens/s | decode, tokens/s | GB read |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    whole = run(options.alloy, model, options.tokens, 0)
    print(row("none", 0, whole), flush=True)
    wrong = []
    if whole["rss"] <= options.under:
        wrong.append(f"without a limit {whole['rss']} bytes are resident: {options.under} show nothing")
    for part in options.limits:
        limit = size // part
        result = run(options.alloy, model, options.tokens, limit)
        print(row(f"1/{part}", limit, result), flush=True)
        if result["ids"] != whole["ids"]:
            wrong.append(f"1/{part}: ids {result['ids']}, without a limit {whole['ids']}")
        if result["logits"] != whole["logits"]:
            wrong.append(f"1/{part}: logits differ from those without a limit")
        if result["file"] > limit + SLACK:
            wrong.append(f"1/{part}: {result['file']} bytes of files are resident, the limit is {limit}")
        if result["memory"]["read"] == 0 or result["memory"]["peak"] > limit:
            wrong.append(f"1/{part}: {result['memory']}")
        if limit < options.under <= result["rss"]:
            wrong.append(f"1/{part}: {result['rss']} bytes are resident, {options.under} are allowed")
    wrong += check_conversion(options.alloy, model, size // max(options.limits))
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
