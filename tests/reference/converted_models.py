#!/usr/bin/env python3
"""What `alloy convert` writes in FP8 and FP4 is read by transformers as the values that Alloy reads.

    converted_models.py [--alloy build/release/alloy] [CASE ...]

Small models of each kind are drawn by `alloy init`, converted, and opened by transformers (in float32, on the CPU, where it
widens FP8 and FP4). Alloy's values are those of the converted model converted on to float32 in memory's names. Every parameter
must be equal, bit for bit. Both read the logits of a prompt too, and these must be near.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, FineGrainedFP8Config
from transformers.utils import logging

ROOT = Path(__file__).resolve().parents[2]
IDS = [5, 250, 17, 99, 3, 180, 42, 7, 211, 64]
NEAR = 2e-4  # of the largest logit: both compute in float32, in orders of their own

BASE = dict(
    vocab_size=256,
    hidden_size=256,
    num_hidden_layers=2,
    intermediate_size=384,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=64,
    max_position_embeddings=256,
    tie_word_embeddings=False,
    initializer_range=0.2,
    bos_token_id=0,
    eos_token_id=255,
    dtype="bfloat16",
)
EXPERTS = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=128)
DELTA_NET = dict(
    layer_types=["linear_attention", "full_attention"],
    linear_num_key_heads=2,
    linear_num_value_heads=4,
    linear_key_head_dim=64,
    linear_value_head_dim=64,
    linear_conv_kernel_dim=4,
)
V4 = dict(
    vocab_size=256,
    hidden_size=256,
    moe_intermediate_size=128,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=1,
    head_dim=128,
    q_lora_rank=128,
    o_groups=2,
    o_lora_rank=128,
    sliding_window=16,
    layer_types=["sliding_attention", "heavily_compressed_attention", "compressed_sparse_attention"],
    compress_rates={"compressed_sparse_attention": 4, "heavily_compressed_attention": 8},
    mlp_layer_types=["hash_moe", "moe", "moe"],
    index_n_heads=4,
    index_head_dim=64,
    index_topk=4,
    n_routed_experts=4,
    num_experts_per_tok=2,
    partial_rotary_factor=0.25,
    rope_parameters={
        "main": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
        "compress": {"rope_type": "default", "rope_theta": 160000.0, "partial_rotary_factor": 0.25},
    },
    max_position_embeddings=256,
    tie_word_embeddings=False,
    initializer_range=0.2,
    bos_token_id=0,
    eos_token_id=255,
    dtype="bfloat16",
)

MODELS = {
    "qwen3": dict(BASE, model_type="qwen3"),
    "qwen3_odd": dict(BASE, model_type="qwen3", intermediate_size=352, tie_word_embeddings=True),
    "qwen3_moe": dict(BASE, model_type="qwen3_moe", **EXPERTS),
    "qwen3_5": dict(BASE, model_type="qwen3_5_text", **DELTA_NET),
    "qwen3_5_moe": dict(
        BASE, model_type="qwen3_5_moe_text", shared_expert_intermediate_size=128, **EXPERTS, **DELTA_NET
    ),
    "deepseek_v4": dict(V4, model_type="deepseek_v4"),
}
CASES = [(model, dtype, None) for model in MODELS for dtype in ("fp8", "fp4")] + [
    ("deepseek_v4", "fp8", "release"),
    ("deepseek_v4", "fp4", "release"),
    ("deepseek_v4", "bf16", "release"),
    ("qwen3_moe", "f16", "memory"),
]


def run(alloy, *words):
    return subprocess.run([alloy, *map(str, words)], check=True, capture_output=True, text=True).stdout


def expected_values(alloy, made, scratch):
    """Alloy's values, as transformers names them in memory."""
    run(alloy, "convert", made, "--out", scratch, "--dtype", "f32", "--names", "memory", "-q")
    return load_file(scratch / "model.safetensors")


def different(held, expected):
    """Lines about parameters that are not equal."""
    for name in sorted(held.keys() | expected.keys()):
        if name not in held or name not in expected:
            yield f"{name} is only in {'transformers' if name in held else 'Alloy'}"
        elif not torch.equal(held[name].float(), expected[name].float()):
            error = (held[name].float() - expected[name].float()).abs().max()
            yield f"{name} differs by up to {error:g}"


def state_of(model):
    """Its parameters and the buffers that checkpoints hold; a tied head is none of its own."""
    state = dict(model.state_dict())
    if model.config.tie_word_embeddings:
        state.pop("lm_head.weight")
    return state


def logits_apart(alloy, model, made, scratch):
    """The largest difference of the logits, beside the largest logit."""
    out = scratch / "logits.safetensors"
    run(alloy, "logits", made, "--ids", ",".join(map(str, IDS)), "--out", out)
    with torch.no_grad():
        theirs = model(torch.tensor([IDS])).logits[0]
    return float((load_file(out)["logits"] - theirs).abs().max() / theirs.abs().max())


def check(alloy, name, dtype, names, scratch):
    """The number of parameters that are equal, packed tensors, logits apart; raises on a difference."""
    drawn, made = scratch / "drawn", scratch / "made"
    (scratch / "config.json").write_text(json.dumps(MODELS[name]))
    run(alloy, "init", scratch / "config.json", "--out", drawn, "--dtype", "bf16", "-q")
    told = json.loads(
        run(alloy, "convert", drawn, "--out", made, "--dtype", dtype, "--json", *(["--names", names] if names else []))
    )
    packed = [t["to"] for t in told["tensors"] if t["to"] in ("F8_E4M3", "F4")]
    assert packed or dtype not in ("fp8", "fp4"), "nothing was packed"
    quantised = {"quantization_config": FineGrainedFP8Config(dequantize=True)} if packed else {}
    model, info = AutoModelForCausalLM.from_pretrained(
        made, dtype=torch.float32, output_loading_info=True, attn_implementation="eager", **quantised
    )
    wrong = [f"{kind}: {info[kind]}" for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") if info[kind]]
    held = state_of(model)
    wrong += different(held, expected_values(alloy, made, scratch / "f32"))
    apart = logits_apart(alloy, model.float().eval(), made, scratch)  # it leaves some of what is not packed in bf16
    if not apart < NEAR:
        wrong.append(f"logits are {apart:g} apart")
    assert not wrong, "\n    ".join(wrong[:8])
    return len(held), {kind: packed.count(kind) for kind in sorted(set(packed))}, apart


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alloy", default=ROOT / "build/release/alloy")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(MODELS)}; all of them")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    failed = 0
    for name, dtype, names in CASES:
        if arguments.cases and name not in arguments.cases:
            continue
        title = f"{name} {dtype} {names or ''}"
        with tempfile.TemporaryDirectory() as scratch:
            try:
                equal, packed, apart = check(arguments.alloy, name, dtype, names, Path(scratch))
                print(f"{title:28} {equal} tensors equal, packed {packed}, logits {apart:.1e} apart", flush=True)
            except (AssertionError, subprocess.CalledProcessError) as error:
                failed += 1
                print(f"{title:28} FAILED: {getattr(error, 'stderr', None) or error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
