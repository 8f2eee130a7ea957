#!/usr/bin/env python3
"""Tensor FLOPs of `alloy roofline --accounting exact` equal what torch's FlopCounterMode sees in transformers' modules.

    flop_counter.py [--alloy build/release/alloy] [CASE ...]

Each case is a family at odd sizes, run by transformers (eager attention, eager experts) over a prompt, a chunk behind it
and a decoded token. torch multiplies whole rectangles where a causal model needs a part, so what it counts of them is
first found to be the rectangle that it must be, and is then replaced by a walk over the pairs, one by one. Compared are
every mixer, FFN and hyper-connection of every layer, and the head.
"""

import argparse
import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from make_golden import EAGER, EVERY_LAYER_SPARSE, ODD, ODD_DELTA_NET, ODD_EXPERTS
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache
from transformers.utils import logging

PIECE = 64  # tokens of a chunk of the delta rule

BASE = {**ODD, "head_dim": 22, "max_position_embeddings": 512, "use_cache": True}
EXPERTS = {**ODD_EXPERTS, **EVERY_LAYER_SPARSE}
SHARED_EXPERT = dict(shared_expert_intermediate_size=41)
HYBRID = dict(layer_types=["linear_attention", "full_attention", "linear_attention"], num_hidden_layers=3)
V4 = dict(
    vocab_size=301,
    hidden_size=72,
    moe_intermediate_size=37,
    num_attention_heads=6,
    num_key_value_heads=1,
    head_dim=22,
    q_lora_rank=29,
    partial_rotary_factor=4 / 22,
    o_groups=3,
    o_lora_rank=17,
    index_n_heads=5,
    index_head_dim=14,
    index_topk=4,
    sliding_window=9,
    n_routed_experts=7,
    num_experts_per_tok=3,
    num_hidden_layers=3,
    layer_types=["sliding_attention", "heavily_compressed_attention", "compressed_sparse_attention"],
    mlp_layer_types=["hash_moe", "moe", "moe"],
    compress_rates={"compressed_sparse_attention": 3, "heavily_compressed_attention": 7},
    hc_mult=3,
    hc_sinkhorn_iters=4,
    max_position_embeddings=512,
    bos_token_id=0,
    eos_token_id=300,
)

PROMPT, CHUNK, DECODE = "prefill", "mini-prefill", "decode"
HYBRID_POINTS = ((PROMPT, 131), (DECODE, 1))  # transformers gives delta nets no chunk behind a cache


@dataclasses.dataclass
class Case:
    model_type: str
    fields: dict
    points: tuple = ((PROMPT, 41), (CHUNK, 13), (DECODE, 1))
    batch: int = 2


CASES = {
    "qwen3": Case("qwen3", {**BASE, "num_hidden_layers": 2, "attention_bias": True}),
    "qwen3_sliding": Case(
        "qwen3",
        {**BASE, "num_hidden_layers": 3, "use_sliding_window": True, "sliding_window": 11, "max_window_layers": 1},
    ),
    "llama": Case("llama", {**BASE, "num_hidden_layers": 2, "mlp_bias": True}),
    "qwen3_moe": Case("qwen3_moe", {**BASE, **EXPERTS, "num_hidden_layers": 2}),
    "qwen3_next": Case("qwen3_next", {**BASE, **ODD_DELTA_NET, **EXPERTS, **SHARED_EXPERT, **HYBRID}, HYBRID_POINTS),
    "qwen3_5_text": Case("qwen3_5_text", {**BASE, **ODD_DELTA_NET, **HYBRID}, HYBRID_POINTS),
    "deepseek_v4": Case("deepseek_v4", V4),
}


# ---- What torch multiplies --------------------------------------------------------------------------------------------


def measure(model, ids, cache):
    """(name of a module, name of an op) -> FLOPs, modules within it included."""
    with FlopCounterMode(display=False, depth=None) as counter, torch.no_grad():
        model(ids, past_key_values=cache, use_cache=True)
    root = type(model).__name__
    flops = {}
    for module, by_op in counter.get_flop_counts().items():
        for op, count in by_op.items():
            flops[module.removeprefix(root).removeprefix("."), str(op)] = count
    return flops


class Measured:
    def __init__(self, flops):
        self.flops = flops

    def of(self, module, *ops):
        return sum(
            n for (name, op), n in self.flops.items() if name == module and (not ops or op.split(".")[-1] in ops)
        )

    def angles(self, module):
        """Positions times frequencies, which torch computes as matrix products and Alloy keeps as tables."""
        return sum(n for (name, _), n in self.flops.items() if name.startswith(module) and name.endswith(".rotary_emb"))


# ---- Rectangles, and the walks that replace them ----------------------------------------------------------------------


def pairs(new, cached, window):
    """Pairs of a new token and a position that it sees."""
    return sum(1 for t in range(cached, cached + new) for key in range(t + 1) if window is None or t - key < window)


def entries_seen(new, cached, rate, most=None):
    seen = 0
    for t in range(cached, cached + new):
        closed = sum(1 for last in range(rate - 1, t + 1, rate))
        seen += closed if most is None else min(closed, most)
    return seen


def attention(config, new, cached, window):
    """(what torch multiplies of queries, keys and values, what is seen of it), FLOPs of one sequence."""
    an_element = 2 * 2 * config.num_attention_heads * config.head_dim
    kept = cached if window is None else min(cached, window - 1)
    return an_element * new * (kept + new), an_element * pairs(new, cached, window)


def delta_rule(config, new, decoded):
    """Of one sequence: torch pads to whole pieces and multiplies squares; triangles suffice. Its counter does not see the two
    forward substitutions. A decoded token's step is no matrix product. Behind nothing the first piece meets an empty
    state."""
    if decoded:
        return 0, 0
    k, v, heads = config.linear_key_head_dim, config.linear_value_head_dim, config.linear_num_value_heads
    pieces = [min(PIECE, new - at) for at in range(0, new, PIECE)]
    square = len(pieces) * (2 * PIECE * PIECE * (2 * k + v) + 3 * 2 * PIECE * k * v)
    needed = 0
    for number, length in enumerate(pieces):
        for i in range(length):
            needed += 2 * (k + k + v) * i  # keys with keys, and substitution of keys and values: what is before i
            needed += 2 * (k + v) * (i + 1)  # queries with keys, and their sum of values
            needed += 2 * k * v * (1 if number == 0 else 3)
    return heads * square, heads * needed


def convolution(config, new, decoded):
    """torch convolves past the end of a prompt and from one token before a decoded one, and cuts that off."""
    channels = (
        2 * config.linear_num_key_heads * config.linear_key_head_dim
        + config.linear_num_value_heads * config.linear_value_head_dim
    )
    a_token = 2 * channels * config.linear_conv_kernel_dim
    return a_token * (new + 1 if decoded else new + config.linear_conv_kernel_dim - 1), a_token * new


def v4_attention(config, kind, new, cached):
    an_element = 2 * 2 * config.num_attention_heads * config.head_dim
    whole, seen = attention(config, new, cached, config.sliding_window)
    if kind == "sliding_attention":
        return whole, seen
    rate = config.compress_rates[kind]
    sparse = kind == "compressed_sparse_attention"
    entries = (cached + new) // rate
    whole += an_element * new * entries
    seen += an_element * entries_seen(new, cached, rate, config.index_topk if sparse else None)
    if sparse:
        a_score = 2 * config.index_n_heads * config.index_head_dim
        whole += a_score * new * entries
        seen += a_score * entries_seen(new, cached, rate)
    return whole, seen


# ---- One forward --------------------------------------------------------------------------------------------------------


class Difference(Exception):
    pass


def expect(what, actual, expected):
    if actual != expected:
        raise Difference(f"{what}: {actual:,}, expected {expected:,}")


def mixer_flops(config, name, kind, measured, batch, new, cached):
    if kind == "linear_attention":
        name += ".linear_attn"
        decoded = cached > 0
        convolved, convolution_needed = convolution(config, new, decoded)
        whole, needed = delta_rule(config, new, decoded)
        expect(f"{name}, convolution in torch", measured.of(name, "convolution"), batch * convolved)
        expect(f"{name}, delta rule in torch", measured.of(name, "bmm", "baddbmm"), batch * whole)
        return measured.of(name) + batch * (convolution_needed - convolved + needed - whole)
    name += ".self_attn"
    grouped = angles = 0
    if config.model_type == "deepseek_v4":
        whole, needed = v4_attention(config, kind, new, cached)
        grouped = measured.of(name + ".o_a_proj", "bmm")
        angles = measured.angles(name)
    else:
        whole, needed = attention(config, new, cached, config.sliding_window if kind == "sliding_attention" else None)
    expect(f"{name}, products of attention in torch", measured.of(name, "bmm") - grouped - angles, batch * whole)
    return measured.of(name) - angles + batch * (needed - whole)


def ffn_flops(config, name, index, measured, tokens):
    flops = measured.of(name + ".mlp")
    kinds = getattr(config, "mlp_layer_types", None)
    if kinds and kinds[index] == "hash_moe":  # torch scores all experts, and looks at those that the table names
        scores = 2 * tokens * config.hidden_size
        expect(f"{name}.mlp.gate in torch", measured.of(name + ".mlp.gate"), scores * config.n_routed_experts)
        flops -= scores * (config.n_routed_experts - config.num_experts_per_tok)
    return flops


def expected_flops(config, measured, batch, new, cached):
    """(kind, layer) -> tensor FLOPs, as transformers' modules make them."""
    flops = {("head", None): measured.of("lm_head")}
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    for i, kind in enumerate(kinds):
        name = f"model.layers.{i}"
        flops["mixer", i] = mixer_flops(config, name, kind, measured, batch, new, cached)
        flops["ffn", i] = ffn_flops(config, name, i, measured, batch * new)
        if config.model_type == "deepseek_v4":  # the streams are mixed in the layer itself
            mixer = measured.of(name + ".self_attn")
            flops["residual", i] = measured.of(name) - mixer - measured.of(name + ".mlp")
    if config.model_type == "deepseek_v4":
        flops["residual", None] = measured.of("model.hc_head")
    return flops


def counted_flops(alloy, folder, batch, new, cached):
    point = f"{batch}x{new}+{cached}"
    command = [
        alloy,
        "roofline",
        folder / "config.json",
        "--sequences",
        point,
        "--accounting",
        "exact",
        "--logits",
        "all",
    ]
    command += ["--level", "3", "--json"] + (["--delta", "chunk"] if cached == 0 else ["--delta", "step"])
    result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["results"][0]
    flops = {}
    for row in result["modules"]:
        if row["kind"] not in ("embedding", "norm"):
            key = row["kind"], row.get("layer")
            flops[key] = flops.get(key, 0) + row["tensor_flops"]
    return flops


def check_point(alloy, folder, case, model, cache, cached, new):
    generator = torch.Generator().manual_seed(new)
    ids = torch.randint(1, model.config.vocab_size, (case.batch, new), generator=generator)
    measured = Measured(measure(model, ids, cache))
    expected = expected_flops(model.config, measured, case.batch, new, cached)
    counted = counted_flops(alloy, folder, case.batch, new, cached)
    if counted.keys() != expected.keys():
        raise Difference(f"rows {sorted(counted, key=str)}, expected {sorted(expected, key=str)}")
    for row, flops in expected.items():
        expect(f"{row[0]} of layer {row[1]}", counted[row], flops)
    return sum(expected.values())


def check(alloy, case):
    torch.manual_seed(7)
    config = AutoConfig.for_model(case.model_type, **case.fields)
    model = AutoModelForCausalLM.from_config(config, **EAGER).eval()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        config.save_pretrained(folder)
        cache, cached = DynamicCache(config=model.config), 0
        for mode, new in case.points:
            flops = check_point(alloy, folder, case, model, cache, cached, new)
            print(f"  {mode:12} {case.batch} x {new:3} behind {cached:3}: {flops:,} tensor FLOPs", flush=True)
            cached += new


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alloy", default="build/release/alloy", type=pathlib.Path)
    parser.add_argument("cases", nargs="*", metavar="CASE", default=list(CASES))
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    failed = 0
    for name in args.cases:
        print(name, flush=True)
        try:
            check(args.alloy.resolve(), CASES[name])
        except Difference as difference:
            print(f"  FAILED {difference}")
            failed += 1
    print(f"{len(args.cases) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
