#!/usr/bin/env python3
"""What transformers computes with a checkpoint, one layer in memory at a time.

The model is built without memory for its weights (torch's meta device) and runs its own forward. Before a unit of it runs (the
embedding, a decoder layer, the final norm, the head) the unit's tensors are read from the safetensors, by the names and
conversions that transformers itself has for the family; what is stored in FP8 or FP4 is dequantised by its scales. After it has
run they are given up again, and what it computed is in the file. A routed expert is read when a token goes to it. So memory holds
one unit at a time and one expert, and a checkpoint that was fetched in part can be run as far as it goes (--num-layers).

The file that is written is the reference of `alloy compare`:

    input_ids i64 [T], hidden.I [T, ...] after each layer, all streams of it, logits [T, V], greedy i64 [N]; in --dtype
    metadata: dtype, num_layers (those that were run), model_type, torch, transformers
"""

import argparse
import contextlib
import gc
import json
import os
import pathlib
import re
import resource
import struct
import sys
import time

os.environ["HF_DEACTIVATE_ASYNC_LOAD"] = "1"  # tensors one by one: no threads that read ahead of what is converted

import oracle
import torch
import transformers
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    WeightConverter,
    WeightRenaming,
    convert_and_load_state_dict_in_model,
    rename_source_key,
)
from transformers.modeling_utils import LoadStateDictConfig

ROOT = pathlib.Path(__file__).resolve().parents[2]
EAGER = dict(attn_implementation="eager", experts_implementation="eager")
DTYPES = {name: getattr(torch, name) for name in ("float64", "float32", "bfloat16", "float16")}
STORED = {torch.float64: "F64", torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.int64: "I64"}
UNUSED = ("mtp.", "model.mtp.", "visual.", "model.visual.")  # what a text model has no place for
EXPERTS = re.compile(r"\.experts\.(gate_up_proj|down_proj)$")
FP4 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])


# ---- Weights as they are stored -------------------------------------------------------------------------------------------


def widen_fp4(packed):
    """[.., k / 2] bytes of two E2M1 numbers, the low half first -> float32 [.., k]."""
    halves = packed.view(torch.uint8)
    codes = torch.stack([halves & 15, halves >> 4], dim=-1).flatten(-2).int()
    return torch.where(codes < 8, 1.0, -1.0) * FP4[codes & 7]


def widen_scale(scale):
    """float64. E8M0 is 2^(byte - 127), 255 is NaN; the rest are numbers."""
    if scale.dtype not in (torch.float8_e8m0fnu, torch.uint8):
        return scale.double()
    exponent = scale.view(torch.uint8).int() - 127
    return torch.where(
        exponent == 128, torch.nan, torch.ldexp(torch.ones(exponent.shape, dtype=torch.float64), exponent)
    )


def dequantise(stored, scale, tile):
    """float32: each number times the scale of its tile, rounded once. The tiles at the edges may be cut off."""
    if stored.dtype in (torch.int8, torch.uint8):
        numbers = widen_fp4(stored)
        tile = (numbers.shape[0] // scale.shape[0], numbers.shape[1] // scale.shape[1])
    else:
        numbers = stored.float()
    scale = widen_scale(scale).repeat_interleave(tile[0], 0)[: numbers.shape[0]]
    scale = scale.repeat_interleave(tile[1], 1)[:, : numbers.shape[1]]
    return (numbers.double() * scale).float()


class Dequantised:
    """A stored tensor with its scales, which is read when transformers asks for it."""

    def __init__(self, stored, scale, tile):
        self.stored, self.scale, self.tile = stored, scale, tile

    def __getitem__(self, index):
        return dequantise(self.stored[...], self.scale[...], self.tile)[index]


class Checkpoint:
    """The tensors of a folder by name; a file is open while a unit is read from it, so that no pages of it stay behind."""

    def __init__(self, folder):
        index = folder / "model.safetensors.index.json"
        single = folder / "model.safetensors"
        if single.exists():
            with safe_open(single, framework="pt") as file:
                self.files = dict.fromkeys(file.keys(), single)
        else:
            self.files = {name: folder / file for name, file in json.loads(index.read_text())["weight_map"].items()}
        config = json.loads((folder / "config.json").read_text())
        config = {**config, **config.get("text_config", {})}
        self.tile = (config.get("quantization_config") or {}).get("weight_block_size") or [128, 128]
        self.scales = {}
        for name in self.files:
            for ending in (".weight_scale_inv", ".scale"):
                weight = name.removesuffix(ending) + ".weight"
                if name.endswith(ending) and weight in self.files:
                    self.scales[weight] = name

    def names(self):
        """Of weights; scales go with theirs."""
        scales = set(self.scales.values())
        return [name for name in self.files if name not in scales]

    @contextlib.contextmanager
    def open(self, names):
        """{name: a tensor that is read when it is asked for}"""
        wanted = [*names, *(self.scales[name] for name in names if name in self.scales)]
        with contextlib.ExitStack() as stack:
            open_files = {}
            for file in {self.files[name] for name in wanted}:
                if not file.exists():
                    raise SystemExit(f"{file}: not there, and needed")
                open_files[file] = stack.enter_context(safe_open(file, framework="pt", backend="pread"))
            slices = {name: open_files[self.files[name]].get_slice(name) for name in wanted}
            for name in names:
                if name in self.scales:
                    slices[name] = Dequantised(slices[name], slices.pop(self.scales[name]), self.tile)
            yield slices


# ---- The model ------------------------------------------------------------------------------------------------------------


def read_config(folder, num_layers):
    """The text model's config, without what says that its weights are stored in FP8; of the first layers."""
    config = AutoConfig.from_pretrained(folder).get_text_config()
    if getattr(config, "quantization_config", None) is not None:
        del config.quantization_config
    every = config.num_hidden_layers
    if num_layers is None or num_layers == every:
        return config
    if not 0 < num_layers < every:
        raise SystemExit(f"--num-layers {num_layers}: the model has {every} layers")
    for name, value in list(vars(config).items()):  # layer_types and its like
        if isinstance(value, list) and len(value) == every:
            setattr(config, name, value[:num_layers])
    config.num_hidden_layers = num_layers
    return config


def build(config, dtype):
    """The model on the meta device, but for what it computes from its config alone: rotary tables."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, **EAGER).eval()
    for name, module in list(model.named_modules()):
        if module._non_persistent_buffers_set:
            assert not list(module.parameters()), f"{name} has weights and tables"
            model.set_submodule(name, type(module)(module.config))
    return model


class Experts:
    """In place of a tensor of all experts' matrices, [experts, ..]: transformers' eager loop takes them one by one."""

    def __init__(self, checkpoint, names, dtype):
        self.checkpoint, self.names, self.dtype = checkpoint, names, dtype
        self.numbered = {}  # expert: its names; those of gate come before those of up in both namings
        for name in sorted(names):
            number = re.search(r"experts\.(\d+)\.", name)
            if number:
                self.numbered.setdefault(int(number[1]), []).append(name)

    def __getitem__(self, expert):
        names = self.numbered.get(int(expert), self.names)
        with self.checkpoint.open(names) as tensors:
            if not self.numbered:
                return tensors[names[0]][int(expert)].to(self.dtype)
            return torch.cat([tensors[name][...].to(self.dtype) for name in names])


class Streamed:
    """A model whose units hold their weights only while they run."""

    def __init__(self, folder, config, dtype):
        self.checkpoint = Checkpoint(folder)
        self.model = build(config, dtype)
        plan = {} if dtype == torch.float64 else self.model._get_dtype_plan(dtype)
        mapping = get_model_conversion_mapping(self.model)
        self.load_config = LoadStateDictConfig(dtype=dtype, dtype_plan=plan, weight_mapping=mapping)
        self.largest = 0  # bytes of a unit
        body = self.model.model
        self.units = {f"model.layers.{i}": layer for i, layer in enumerate(body.layers)}
        self.units |= {f"model.{name}": part for name, part in body.named_children() if part is not body.layers}
        self.units["lm_head"] = self.model.lm_head
        self.sources = self.assign(mapping)
        for name, unit in self.units.items():
            if any(True for _ in self.stored(unit)):
                unit.register_forward_pre_hook(lambda module, _, name=name: self.load(name, module))
                unit.register_forward_hook(lambda module, *_: self.free(module))

    def stored(self, unit):
        """(module, its dictionary, name) of everything that comes from the checkpoint."""
        for module in unit.modules():
            for name in module._parameters:
                if module._parameters[name] is not None:
                    yield module, module._parameters, name
            for name in module._buffers:
                if name not in module._non_persistent_buffers_set:
                    yield module, module._buffers, name

    def assign(self, mapping):
        """{unit: names in the checkpoint}, by transformers' own renaming."""
        known = self.model.state_dict()
        renamings = [entry for entry in mapping if isinstance(entry, WeightRenaming)]
        converters = [entry for entry in mapping if isinstance(entry, WeightConverter)]
        sources, experts = {name: [] for name in self.units}, {}
        for name in self.checkpoint.names():
            renamed, _ = rename_source_key(name, renamings, converters, self.model.base_model_prefix, known)
            if renamed not in known and name in known:  # a name of transformers' own that a renaming happens to fit
                renamed = name
            unit = next((unit for unit in sources if renamed.startswith(unit + ".")), None)
            if unit and renamed in known and EXPERTS.search(renamed):
                experts.setdefault(renamed, []).append(name)
            elif unit and renamed in known:
                sources[unit].append(name)
            elif not (name.startswith(UNUSED) or name.endswith("inv_freq") or self.is_of_later_layer(renamed)):
                raise SystemExit(f"{self.checkpoint.files[name]}: transformers has no place for {name}")
        for name, names in experts.items():
            module, _, attribute = name.rpartition(".")
            module = self.model.get_submodule(module)
            del module._parameters[attribute]
            setattr(module, attribute, Experts(self.checkpoint, names, self.load_config.dtype))
        if not sources["lm_head"] and self.model.config.tie_word_embeddings:
            sources["lm_head"] = None  # the embedding's
        return sources

    def is_of_later_layer(self, name):
        layer = name.removeprefix("model.layers.").partition(".")[0]
        return layer != name and layer.isdigit() and int(layer) >= self.model.config.num_hidden_layers

    def load(self, unit, module):
        if self.sources[unit] is None:
            embedding = self.model.model.embed_tokens
            self.load("model.embed_tokens", embedding)
            module.weight = embedding.weight
            self.free(embedding)
        else:
            with self.checkpoint.open(self.sources[unit]) as tensors:
                convert_and_load_state_dict_in_model(self.model, tensors, self.load_config)
        held = [(name, where[name]) for _, where, name in self.stored(module)]
        missing = [name for name, tensor in held if tensor.is_meta]
        if missing:
            raise SystemExit(f"{unit}: the checkpoint does not hold {', '.join(missing)}")
        self.largest = max(self.largest, sum(tensor.nbytes for _, tensor in held))

    def free(self, unit):
        for _, where, name in self.stored(unit):
            empty = torch.empty_like(where[name], device="meta")
            where[name] = torch.nn.Parameter(empty, False) if isinstance(where[name], torch.nn.Parameter) else empty

    @torch.no_grad()
    def run(self, ids, on_layer):
        """-> logits [T, V]; each layer's output goes to on_layer(i, [T, ...]) when it is there."""
        with contextlib.ExitStack() as stack:
            for i, layer in enumerate(self.model.model.layers):

                def see(_, __, out, i=i):
                    on_layer(i, (out[0] if isinstance(out, tuple) else out)[0])

                stack.callback(layer.register_forward_hook(see).remove)
            return self.model(input_ids=ids[None], use_cache=False).logits[0]


# ---- The reference --------------------------------------------------------------------------------------------------------


class Reference:
    """A safetensors file that is written as its tensors come. It has its name when it is complete."""

    def __init__(self, path, metadata, tensors):
        """tensors: {name: (dtype, shape)}, in the order that they lie in."""
        header, self.places, at = {"__metadata__": metadata}, {}, 0
        for name, (dtype, shape) in tensors.items():
            size = dtype.itemsize * torch.Size(shape).numel()
            header[name] = {"dtype": STORED[dtype], "shape": list(shape), "data_offsets": [at, at + size]}
            self.places[name] = (dtype, torch.Size(shape), at)
            at += size
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        self.path, self.part = path, path.with_name(path.name + ".part")
        self.file = self.part.open("wb")
        self.file.write(struct.pack("<Q", len(text)) + text)
        self.begin = self.file.tell()
        self.missing = set(tensors)

    def put(self, name, tensor):
        dtype, shape, at = self.places[name]
        assert tensor.dtype == dtype and tensor.shape == shape, f"{name}: {tensor.dtype} {list(tensor.shape)}"
        self.file.seek(self.begin + at)
        self.file.write(tensor.contiguous().view(torch.uint8).numpy().tobytes())
        self.missing.discard(name)

    def close(self):
        assert not self.missing, f"nothing came for {self.missing}"
        self.file.close()
        self.part.rename(self.path)


def mode_of(dtype):
    """In float64 transformers' own casts to float32 are taken in float64 too (oracle.py)."""
    return oracle.Float64() if dtype == torch.float64 else contextlib.nullcontext()


def say(text):
    print(text, file=sys.stderr, flush=True)


def save(streamed, ids, dtype, new, path):
    """One run for the reference, and one more for each further greedy id."""
    config, reference, begin = streamed.model.config, None, time.monotonic()
    metadata = dict(format="pt", dtype=str(dtype).removeprefix("torch."), num_layers=str(config.num_hidden_layers))
    metadata |= dict(model_type=config.model_type, torch=torch.__version__, transformers=transformers.__version__)

    def on_layer(i, hidden):
        nonlocal reference
        if reference is None:
            layers = {f"hidden.{j}": (dtype, hidden.shape) for j in range(config.num_hidden_layers)}
            ends = {"input_ids": (torch.int64, ids.shape), "greedy": (torch.int64, (new,))}
            logits = {"logits": (dtype, (len(ids), config.vocab_size))}
            reference = Reference(path, metadata, (ends if new else {"input_ids": ends["input_ids"]}) | layers | logits)
        reference.put(f"hidden.{i}", hidden)
        say(f"layer {i}: largest value {hidden.abs().max().item():.4g}, {time.monotonic() - begin:.0f} s")

    logits = streamed.run(ids, on_layer)
    reference.put("logits", logits)
    reference.put("input_ids", ids)
    sequence, last = ids, logits[-1]
    del logits
    while len(sequence) < len(ids) + new:
        sequence = torch.cat([sequence, last.argmax()[None]])
        if len(sequence) < len(ids) + new:
            last = streamed.run(sequence, lambda i, hidden: None)[-1]
    if new:
        reference.put("greedy", sequence[len(ids) :])
    reference.close()


def measure_float32(folder, config, ids, path):
    """How far float32 is from the reference, into NAME.json beside it: the measure that `alloy compare` then takes."""
    streamed = Streamed(folder, config, torch.float32)
    with safe_open(path, framework="pt") as file:
        errors = []
        logits = streamed.run(
            ids, lambda i, hidden: errors.append(oracle.distance(hidden, file.get_tensor(f"hidden.{i}")))
        )
        note = dict(
            torch=torch.__version__,
            transformers=transformers.__version__,
            transformers_fp32_max_abs_error=oracle.distance(logits, file.get_tensor("logits")),
            transformers_fp32_hidden_error=errors,
        )
    path.with_suffix(".json").write_text(json.dumps(note, indent=1) + "\n")


# ---- The command ----------------------------------------------------------------------------------------------------------


def prompt(options, config):
    if options.ids is not None:
        return torch.tensor([int(word) for word in options.ids.split(",")])
    if options.ids_file is not None:
        return torch.tensor(
            [int(word) for word in options.ids_file.read_text().replace(",", " ").strip("[] \n").split()]
        )
    if options.prompt is not None:
        return torch.tensor(AutoTokenizer.from_pretrained(options.model).encode(options.prompt))
    return oracle.draw_ids(options.tokens, config.vocab_size, options.seed)


def parse(words):
    words, rest = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    parser = argparse.ArgumentParser(
        prog="script/reference",
        usage="%(prog)s MODEL --out FILE [options] [-- FLAGS of alloy compare]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=pathlib.Path, metavar="MODEL", help="a folder")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="FILE", help="NAME.safetensors")
    ids = parser.add_mutually_exclusive_group()
    ids.add_argument("--ids", metavar="1,2,3", help="the prompt's ids")
    ids.add_argument("--ids-file", type=pathlib.Path, metavar="FILE", help="a list of them, as JSON or between spaces")
    ids.add_argument("--prompt", metavar="TEXT", help="through the model's tokenizer")
    ids.add_argument("--tokens", type=int, default=64, metavar="N", help="so many ids that are drawn (default: 64)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="for drawing them (default: 0)")
    parser.add_argument(
        "--dtype", choices=[*DTYPES, "model"], default="float32", help="default: float32; model: its own"
    )
    parser.add_argument("--num-layers", type=int, metavar="N", help="the first N layers; files of others may be absent")
    parser.add_argument(
        "--new-tokens",
        type=int,
        default=1,
        metavar="N",
        help="greedy ids to save, a run of all layers each (default: 1)",
    )
    parser.add_argument(
        "--measure-float32", action="store_true", help="run in float32 too, and write its errors to NAME.json"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count(), metavar="N", help="default: all processors")
    parser.add_argument(
        "--compare", action="store_true", help="then free all memory and run alloy compare on the folder"
    )
    parser.add_argument("--alloy", type=pathlib.Path, default=ROOT / "build/release/alloy", metavar="FILE")
    options = parser.parse_args(words)
    if rest and not options.compare:
        parser.error("flags behind -- are for --compare")
    if options.out.exists() and options.out.resolve().parent == options.model.resolve():
        parser.error(f"{options.out} is there, among the model's files; write elsewhere")
    if options.measure_float32 and options.dtype != "float64":
        parser.error("--measure-float32 is for --dtype float64")
    note = options.out.with_suffix(".json")
    if note.exists() and not (options.measure_float32 and "transformers_fp32_max_abs_error" in note.read_text()):
        parser.error(f"{note} would be taken for the measure of {options.out}; remove it or write elsewhere")
    if options.compare and not options.alloy.exists():
        parser.error(f"there is no {options.alloy}; build it, or say --alloy FILE")
    return options, rest


def main():
    options, rest = parse(sys.argv[1:])
    oracle.quiet()
    torch.set_num_threads(options.threads)
    config = read_config(options.model, options.num_layers)
    dtype = (config.dtype or torch.float32) if options.dtype == "model" else DTYPES[options.dtype]
    ids = prompt(options, config)
    with mode_of(dtype):
        streamed = Streamed(options.model, config, dtype)
        save(streamed, ids, dtype, options.new_tokens, options.out)
    largest = streamed.largest
    del streamed
    gc.collect()
    if options.measure_float32:
        measure_float32(options.model, read_config(options.model, options.num_layers), ids, options.out)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    say(f"{options.out}: {len(ids)} tokens, {config.num_hidden_layers} layers in {str(dtype).removeprefix('torch.')}")
    say(f"peak memory {peak / 1e6:.0f} MB, largest unit {largest / 1e6:.0f} MB")
    if options.compare:
        layers = ["--num-layers", str(options.num_layers)] if options.num_layers else []
        words = [options.alloy, "compare", options.model, options.out, *layers, *rest]
        os.execv(options.alloy, [str(word) for word in words])  # this process and its memory are gone


if __name__ == "__main__":
    main()
