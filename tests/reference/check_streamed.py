#!/usr/bin/env python3
"""Holds streamed.py to transformers' own whole model, bit for bit on one thread, and Alloy to what it writes.

    check_streamed.py [--alloy build/release/alloy] [--out build/streamed] FOLDER...      folders of golden cases

Of each case: in float32, and in bfloat16 where transformers can run the family in it, the streamed hidden states and logits are
those of the model that from_pretrained loads; in float64 those of a whole model in float64, and within 1e-12 of the largest of
the case's own expected.safetensors, which another machine may have made. Then the same of the first layers with every later tensor taken out of the checkpoint, or its shard deleted, and of a checkpoint in FP8 and FP4,
against its numbers widened here by another way. `alloy compare` passes on each of them.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys

import oracle
import streamed
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

TOKENS = 40
SINGLE = "model.safetensors"


class Check:
    def __init__(self, alloy, out):
        self.alloy, self.out, self.failed = alloy, out, 0

    def tell(self, name, what, passed, note=""):
        self.failed += not passed
        print(f"{name:24} {what:44} {'pass' if passed else 'FAIL'} {note}", flush=True)

    def stream(self, folder, ids, dtype, num_layers=None):
        path = self.out / f"{folder.name}.safetensors"
        config = streamed.read_config(folder, num_layers)
        with streamed.mode_of(dtype):
            streamed.save(streamed.Streamed(folder, config, dtype), ids, dtype, 1, path)
        return path, load_file(path)

    def compare(self, name, what, folder, path, *flags):
        command = [self.alloy, "compare", folder, path, *flags, "--json", "--quiet"]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode and not done.stdout.startswith("{"):
            return self.tell(name, what, False, done.stderr.strip())
        told = json.loads(done.stdout)
        rows = [*told.get("layers", []), *([told["logits"]] if "logits" in told else [])]
        errors = [row["relative_error"] for row in rows]
        note = "not finite" if None in errors else f"relative error {max(errors, default=0):.1e}"
        self.tell(name, what, done.returncode == 0, f"{note} {done.stderr.strip()}")


def same(tensors, logits, hidden):
    """Bit for bit; the number of hidden states too."""
    mine = [tensors[f"hidden.{i}"] for i in range(len(hidden))]
    pairs = zip([*mine, tensors["logits"]], [*hidden, logits], strict=True)
    return f"hidden.{len(hidden)}" not in tensors and all(torch.equal(a, b) for a, b in pairs)


def load_whole(folder, dtype):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **streamed.EAGER).eval()


def check_whole(check, folder, ids):
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        try:
            logits, hidden = oracle.hidden_and_logits(load_whole(folder, dtype))(ids)
        except RuntimeError as error:
            if dtype == torch.bfloat16 and "same dtype" in str(error):
                print(f"{folder.name:24} {name:44} not run: transformers cannot run this family in it")
                continue
            raise
        path, tensors = check.stream(folder, ids, dtype)
        check.tell(folder.name, f"{name}: the bits of the whole model", same(tensors, logits, hidden))
        if dtype == torch.bfloat16 and "experts" in (folder / "config.json").read_text():
            print(f"{folder.name:24} {name + ': alloy compare':44} not run: in it some tokens go to other experts")
        else:
            check.compare(folder.name, f"{name}: alloy compare", folder, path)


def load_float64(folder, mode):
    whole = load_whole(folder, torch.float32)
    weights = {name: t.double() if t.is_floating_point() else t for name, t in whole.state_dict().items()}
    with mode:
        model = AutoModelForCausalLM.from_config(whole.config, dtype=torch.float64, **streamed.EAGER).eval()
        model.load_state_dict(weights)
    return model


def check_float64(check, folder):
    expected = load_file(folder / "expected.safetensors")
    mode = oracle.Float64()
    model = load_float64(folder, mode)
    with mode:
        logits, hidden = oracle.hidden_and_logits(model)(expected["input_ids"])
    path, tensors = check.stream(folder, expected["input_ids"], torch.float64)
    check.tell(folder.name, "float64: the bits of the whole model", same(tensors, logits, hidden))
    far = max(
        oracle.distance(tensors[name], expected[name]) / expected[name].abs().max().item()
        for name in tensors
        if "." in name
    )
    check.tell(folder.name, "float64: expected.safetensors", far < 1e-12, f"relative distance {far:.1e}")
    shutil.copy(folder / "expected.json", path.with_suffix(".json"))
    check.compare(folder.name, "float64: alloy compare", folder, path)
    path.with_suffix(".json").unlink()


def is_later(name, layers):
    number = name.partition("layers.")[2].partition(".")[0]
    return number.isdigit() and int(number) >= layers


def take_part(folder, to, layers):
    """A copy without what later layers need: tensors, or the shards that hold nothing else."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to)
    if (to / SINGLE).exists():
        tensors = {name: tensor for name, tensor in load_file(to / SINGLE).items() if not is_later(name, layers)}
        save_file(tensors, to / SINGLE, {"format": "pt"})
        return
    places = json.loads((to / "model.safetensors.index.json").read_text())["weight_map"]
    needed = {file for name, file in places.items() if not is_later(name, layers)}
    for file in set(places.values()) - needed:
        (to / file).unlink()


def check_first_layers(check, folder, ids):
    """hidden.I of the part are those of the whole; its logits are those of a whole model that ends there."""
    part = check.out / f"{folder.name}.first"
    take_part(folder, part, 2)
    _, hidden = oracle.hidden_and_logits(load_whole(folder, torch.float32))(ids)
    path, tensors = check.stream(part, ids, torch.float32, 2)
    whole = load_whole(folder, torch.float32)
    whole.model.layers = whole.model.layers[:2]
    whole.config.num_hidden_layers = 2
    logits, _ = oracle.hidden_and_logits(whole)(ids)
    check.tell(folder.name, "2 layers, the rest absent: the same bits", same(tensors, logits, hidden[:2]))
    check.compare(folder.name, "2 layers, the rest absent: alloy compare", part, path, "--num-layers", 2)


# ---- FP8 and FP4 ----------------------------------------------------------------------------------------------------------


def fp8(tensor):
    """(stored, scales in E8M0, float32 that they mean) with tiles of 128 x 128, cut off at the edges."""
    stored, means = torch.empty(tensor.shape, dtype=torch.float8_e4m3fn), torch.empty(tensor.shape)
    tiles = [-(-side // 128) for side in tensor.shape]
    exponents = torch.empty(tiles, dtype=torch.int32)
    for i in range(tiles[0]):
        for j in range(tiles[1]):
            place = (slice(128 * i, 128 * (i + 1)), slice(128 * j, 128 * (j + 1)))
            exponents[i, j] = torch.log2(tensor[place].abs().max() / 448).ceil().int()
            stored[place] = (tensor[place] * 2.0 ** -exponents[i, j].item()).to(torch.float8_e4m3fn)
            means[place] = stored[place].float() * 2.0 ** exponents[i, j].item()
    return stored, (exponents + 127).to(torch.uint8).view(torch.float8_e8m0fnu), means


def fp4(tensor):
    """The same with two numbers a byte and a scale for every 32 of a row: codes by the nearest of sixteen values."""
    values = torch.tensor([0.0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
    runs = tensor.unflatten(-1, (-1, 32))
    exponents = torch.log2(runs.abs().amax(-1) / 6).ceil().int()
    scales = torch.ldexp(torch.ones(exponents.shape), exponents)[..., None]
    codes = (runs / scales)[..., None].sub(values).abs().argmin(-1)
    means = (values[codes] * scales).flatten(-2)
    codes = codes.flatten(-2).to(torch.uint8)
    packed = (codes[..., 0::2] | codes[..., 1::2] << 4).view(torch.int8)
    return packed, (exponents + 127).to(torch.uint8).view(torch.float8_e8m0fnu), means


def check_quantised(check, folder, ids):
    """Every matrix of the layers: experts whose rows are whole runs of 32 in FP4, the rest in FP8."""
    narrow, wide = check.out / f"{folder.name}.narrow", check.out / f"{folder.name}.wide"
    tensors = load_file(folder / SINGLE)
    stored, means = dict(tensors), dict(tensors)
    for name, tensor in tensors.items():
        is_matrix = name.endswith("_proj.weight") or ".w" in name
        if not is_matrix or tensor.dim() != 2 or "layers." not in name:
            continue
        four_bits = (
            ".experts." in name and tensor.shape[1] % 32 == 0 and "deepseek" in (folder / "config.json").read_text()
        )
        stored[name], scales, means[name] = (fp4 if four_bits else fp8)(tensor.float())
        stored[name.removesuffix(".weight") + ".scale"] = scales
    config = json.loads((folder / "config.json").read_text())
    for to, content in (narrow, stored), (wide, means):
        shutil.rmtree(to, ignore_errors=True)
        to.mkdir(parents=True)
        save_file({name: tensor.contiguous() for name, tensor in content.items()}, to / SINGLE, {"format": "pt"})
        quantised = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
        (to / "config.json").write_text(json.dumps(config | (quantised if to == narrow else {})))
    kinds = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in stored.values() if tensor.dim() == 2})
    print(f"{folder.name:24} quantised: {', '.join(kinds)}")
    logits, hidden = oracle.hidden_and_logits(load_whole(wide, torch.float32))(ids)
    path, streamed_tensors = check.stream(narrow, ids, torch.float32)
    check.tell(folder.name, "FP8, FP4: the bits of their numbers in F32", same(streamed_tensors, logits, hidden))
    check.compare(folder.name, "FP8, FP4: alloy compare", narrow, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alloy", type=pathlib.Path, default=streamed.ROOT / "build/release/alloy")
    parser.add_argument("--out", type=pathlib.Path, default=streamed.ROOT / "build/streamed")
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    oracle.quiet()
    streamed.say = lambda text: None
    options.out.mkdir(parents=True, exist_ok=True)
    check = Check(options.alloy, options.out)
    for folder in sorted(path.parent for top in options.folders for path in top.glob("*/expected.json")):
        config = json.loads((folder / "config.json").read_text())
        ids = oracle.draw_ids(TOKENS, config.get("text_config", config)["vocab_size"], 1)
        check_whole(check, folder, ids)
        check_float64(check, folder)
        check_first_layers(check, folder, ids)
        if (folder / SINGLE).exists():
            check_quantised(check, folder, ids)
    print(f"\n{check.failed} failed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
