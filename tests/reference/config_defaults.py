#!/usr/bin/env python3
"""Alloy reads configs as transformers does: defaults, rules and precedence of every family, in both generations.

    config_defaults.py [--library build/release/liballoy.so] [--cases N] [--seed S]

Each case is a config.json of one family with some of its fields drawn at random, as transformers 5 or 4 writes them.
Alloy translates it to a config of model_type "alloy", which tells everything that it understood. transformers builds
the model (without memory, on the meta device), and its modules tell which layer is which, where biases are and what
slides. The first case of each family is the empty config.
"""

import argparse
import ctypes
import json
import pathlib
import random
import tempfile
from ctypes import POINTER, byref, c_char_p, c_void_p

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

FAMILIES = [
    "qwen3",
    "qwen3_moe",
    "qwen3_next",
    "qwen3_5",
    "qwen3_5_text",
    "qwen3_5_moe",
    "qwen3_5_moe_text",
    "llama",
    "qwen2",
    "mistral",
    "deepseek_v4",
]
WRAPPED = ("qwen3_5", "qwen3_5_moe")
MOST_LAYERS = 6

# What an alloy config has where it says nothing.
DEFAULTS = dict(
    max_position_embeddings=32768,
    initializer_range=0.02,
    rms_norm_eps=1e-6,
    tie_word_embeddings=False,
    bos_token_id=None,
    eos_token_id=None,
    pad_token_id=None,
    attention_bias=False,
    mlp_bias=False,
    attn_output_gate=False,
    rms_norm_unit_offset=False,
    norm_topk_prob=False,
)
SAME = [
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "max_position_embeddings",
    "initializer_range",
    "rms_norm_eps",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "num_attention_heads",
    "num_key_value_heads",
]
DELTA = ["num_key_heads", "num_value_heads", "key_head_dim", "value_head_dim", "conv_kernel_dim"]
V4_SAME = [
    *("head_dim", "q_lora_rank", "num_experts_per_tok", "moe_intermediate_size", "scoring_func", "hc_mult", "hc_eps"),
    *(
        "routed_scaling_factor",
        "swiglu_limit",
        "sliding_window",
        "o_groups",
        "o_lora_rank",
        "index_n_heads",
        "mlp_bias",
    ),
    *("index_head_dim", "index_topk", "hc_sinkhorn_iters", "qk_rope_head_dim", "tie_word_embeddings"),
]
V4_MIXERS = {
    "sliding_attention": "dsv4_sliding_attention",
    "heavily_compressed_attention": "dsv4_hca_attention",
    "compressed_sparse_attention": "dsv4_csa_attention",
}
V4_RATIOS = {0: "sliding_attention", 4: "compressed_sparse_attention", 128: "heavily_compressed_attention"}
EXPERTS = ["num_experts", "num_experts_per_tok", "moe_intermediate_size"]


class Library:
    def __init__(self, path):
        self.lib = lib = ctypes.CDLL(str(path))
        lib.alloy_error.restype = c_char_p
        lib.alloy_config_open.argtypes = [POINTER(c_void_p), c_char_p]
        lib.alloy_config_write.argtypes = [c_void_p, c_char_p]
        lib.alloy_config_close.argtypes = [c_void_p]
        lib.alloy_config_close.restype = None

    def translate(self, fields, folder):
        """The alloy config that means the same."""
        given, written = folder / "config.json", folder / "alloy.json"
        given.write_text(json.dumps(fields))
        config = c_void_p()
        status = self.lib.alloy_config_open(byref(config), bytes(given))
        if status or self.lib.alloy_config_write(config, bytes(written)):
            raise SystemExit(f"{json.dumps(fields)}\nwas refused: {self.lib.alloy_error().decode()}")
        self.lib.alloy_config_close(config)
        return json.loads(written.read_text())


# ---- Configs at random ----


def rope_settings(draw):
    kind = draw.choice(["default", "default", "linear", "yarn", "llama3"])
    settings = {"rope_type": kind}
    if kind != "default":
        settings["factor"] = draw.choice([2.0, 4, 8.5])
    if kind in ("yarn", "llama3") and draw.random() < 0.7:
        settings["original_max_position_embeddings"] = draw.choice([64, 256])
    if kind == "yarn":
        for name, value in (("beta_fast", 16.0), ("beta_slow", 2.0), ("attention_factor", 1.25), ("truncate", False)):
            if draw.random() < 0.3:
                settings[name] = value
    if kind == "llama3":
        settings.update(low_freq_factor=1.0, high_freq_factor=4.0)
    return settings


def rope_fields(draw):
    settings, fields = rope_settings(draw), {}
    if draw.random() < 0.5:
        (settings if draw.random() < 0.5 else fields)["rope_theta"] = draw.choice([5000.0, 1e6])
    if draw.random() < 0.3:
        (settings if draw.random() < 0.5 else fields)["partial_rotary_factor"] = draw.choice([0.5, 0.75])
    if draw.random() < 0.5:
        fields["rope_parameters"] = settings
    else:
        kind = settings.pop("rope_type")
        theta = settings.pop("rope_theta", None)
        if theta:
            fields["rope_theta"] = theta
        fields["rope_scaling"] = None if kind == "default" else {draw.choice(["type", "rope_type"]): kind, **settings}
    return fields


def common_fields(draw):
    return {
        "vocab_size": draw.randint(3, 999),
        "intermediate_size": draw.choice([32, 48]),
        "max_position_embeddings": draw.choice([512, 4096]),
        "rms_norm_eps": draw.choice([1e-5, 1e-3]),
        "initializer_range": 0.5,
        "bos_token_id": draw.choice([None, 2]),
        "eos_token_id": draw.choice([None, 1, [1, 2]]),
        "pad_token_id": draw.choice([None, 0]),
        "tie_word_embeddings": draw.random() < 0.5,
        draw.choice(["dtype", "torch_dtype"]): draw.choice(["float16", "bfloat16"]),
    }


def family_fields(draw, family, layers):
    own = {"head_dim": draw.choice([16, 32])}
    if family not in ("mistral", "qwen2"):
        own["attention_bias"] = draw.random() < 0.5
    if family == "llama":
        own["mlp_bias"] = draw.random() < 0.5
    if family in ("qwen3", "qwen3_moe", "qwen2"):
        own["use_sliding_window"] = draw.random() < 0.7
        own["sliding_window"] = draw.choice([None, 16])
        own["max_window_layers"] = draw.randint(0, layers)
    if family == "mistral":
        own["sliding_window"] = draw.choice([None, 16])
    if family in ("qwen3_moe", "qwen3_next"):
        own["decoder_sparse_step"] = draw.randint(1, 3)
        own["mlp_only_layers"] = draw.choice([None, [], [1], [2, 0]])
        own["norm_topk_prob"] = draw.random() < 0.5
    if "moe" in family or family == "qwen3_next":
        own.update(num_experts_per_tok=draw.randint(1, 2), moe_intermediate_size=24, router_aux_loss_coef=0.25)
        own[draw.choice(["num_experts", "num_local_experts"]) if family == "qwen3_moe" else "num_experts"] = 4
    if family == "qwen3_next" or "qwen3_5" in family:
        own["full_attention_interval"] = draw.randint(1, 4)
        own.update(linear_num_key_heads=2, linear_num_value_heads=draw.choice([2, 4]))
        own.update(linear_key_head_dim=8, linear_value_head_dim=16, linear_conv_kernel_dim=3)
    if family == "qwen3_next" or "qwen3_5_moe" in family:
        own["shared_expert_intermediate_size"] = 40
    return own


def layer_types(draw, family, layers):
    if family in ("qwen3", "qwen2"):
        return draw.choices(["full_attention", "sliding_attention"], k=layers)
    if family == "qwen3_next" or "qwen3_5" in family:
        return draw.choices(["full_attention", "linear_attention"], k=layers)
    return None


def v4_ropes(draw):
    """Settings nested, flat or of the generation before."""
    share = {"partial_rotary_factor": draw.choice([0.25, 0.5])}
    yarn = {"factor": 4, "original_max_position_embeddings": 64, "beta_fast": 16, "beta_slow": 2}
    kind = draw.choice(["default", "yarn"])
    scaled = yarn if kind == "yarn" else {}
    fields = {"rope_theta": 5000.0, "compress_rope_theta": 7e4} if draw.random() < 0.5 else {}
    form = draw.choice(["nested", "flat", "old", "none"])
    if form == "nested":
        one = {"attention_factor": 1.0, **scaled} if scaled else {}
        fields.update(share)
        fields["rope_parameters"] = {
            "main": {"rope_type": "default", "rope_theta": 3e4, **share},
            "compress": {"rope_type": kind, "rope_theta": 6e4, **one, **share},
        }
    elif form == "flat":
        fields.update(share if draw.random() < 0.5 else {"qk_rope_head_dim": 8})
        fields["rope_parameters"] = {"rope_type": kind, **scaled}
    elif form == "old":
        fields.update({"qk_rope_head_dim": 8} if draw.random() < 0.5 else {})
        fields["rope_scaling"] = {"type": kind, **scaled} if scaled else None
    return fields


def draw_v4(draw):
    layers = draw.randint(1, MOST_LAYERS)
    fields = common_fields(draw)
    fields.pop("intermediate_size")
    fields.update(hidden_size=64, num_attention_heads=4, head_dim=draw.choice([16, 32]), q_lora_rank=24)
    fields.update(o_groups=2, o_lora_rank=8, index_n_heads=4, index_head_dim=16, index_topk=8, sliding_window=16)
    fields.update(hc_mult=3, hc_sinkhorn_iters=5, hc_eps=1e-3, mlp_bias=True, swiglu_limit=4.0)
    fields.update(scoring_func=draw.choice(["sigmoid", "sqrtsoftplus"]), routed_scaling_factor=2.5)
    fields.update(num_experts_per_tok=2)
    fields[draw.choice(["intermediate_size", "moe_intermediate_size"])] = 24
    fields[draw.choice(["num_local_experts", "n_routed_experts"])] = 4
    fields = {name: value for name, value in fields.items() if draw.random() < 0.7}
    fields.update(num_hidden_layers=layers, **v4_ropes(draw))
    fields.setdefault("head_dim", 32)
    lists = draw.choice(["new", "old", "none"])
    if lists == "new":
        fields["layer_types"] = draw.choices(list(V4_MIXERS), k=layers)
        fields["mlp_layer_types"] = draw.choices(["moe", "hash_moe"], k=layers)
    elif lists == "old":
        fields["compress_ratios"] = draw.choices(list(V4_RATIOS), k=layers + draw.randint(0, 2))
        fields["num_hash_layers"] = draw.randint(0, 2)
    if draw.random() < 0.4:
        fields["compress_rates"] = {"compressed_sparse_attention": 3, "heavily_compressed_attention": 9}
    if draw.random() < 0.4:
        fields["compress_rate_hca"] = 77
    return {"model_type": "deepseek_v4", **fields}


def draw_config(draw, family):
    if family == "deepseek_v4":
        return draw_v4(draw)
    layers = draw.randint(1, MOST_LAYERS)
    fields = {**common_fields(draw), **family_fields(draw, family, layers), **rope_fields(draw)}
    fields = {name: value for name, value in fields.items() if draw.random() < 0.7}
    fields["num_hidden_layers"] = layers
    if draw.random() < 0.6:
        fields.update(hidden_size=64, num_attention_heads=4, num_key_value_heads=draw.choice([1, 2, 4]))
    slides = fields.get("use_sliding_window") and fields.get("sliding_window", 1)
    types = layer_types(draw, family, layers)
    if types and draw.random() < 0.3 and (slides or "sliding_attention" not in types):
        fields["layer_types"] = types
    return wrap(draw, family, fields)


def wrap(draw, family, fields):
    if family not in WRAPPED or draw.random() < 0.2:
        return {"model_type": family.removesuffix("_text") + "_text" if family in WRAPPED else family, **fields}
    return {"model_type": family, "text_config": {**fields, "model_type": family + "_text"}}


# ---- What transformers makes of one ----


def is_sparse(layer):
    return hasattr(layer.mlp, "experts")


def mixer_of(layer, plain):
    if hasattr(layer, "linear_attn"):
        return "qwen3_5_gdn"
    attention = layer.self_attn
    window = getattr(attention, "sliding_window", None)
    if plain == "llama_attention" and type(attention).__name__ == "MistralAttention":
        window = attention.config.sliding_window
    return plain + ("_sliding" if window else "")


def v4_truth(config):
    told = {name: getattr(config, name) for name in [*SAME, *V4_SAME]}
    told["n_routed_experts"] = config.n_routed_experts
    told["layer_types"] = [V4_MIXERS[name] for name in config.layer_types]
    told["ffn_types"] = ["dsv4_" + name for name in config.mlp_layer_types]
    told["compress_rate_csa"] = config.compress_rates["compressed_sparse_attention"]
    told["compress_rate_hca"] = config.compress_rates["heavily_compressed_attention"]
    told["use_mhc"] = True
    told["dtype"] = str(config.dtype).removeprefix("torch.") if config.dtype else None
    compress = dict(config.rope_parameters["compress"])
    compress.pop("type", None)
    if compress["rope_type"] == "yarn":
        compress["truncate"] = True
    told["rope_parameters"] = {"main": config.rope_parameters["main"], "compress": compress}
    return told


def truth(fields):
    """What transformers understood, in the words of an alloy config."""
    fields = json.loads(json.dumps(fields))
    config = AutoConfig.for_model(fields.pop("model_type"), **fields)
    if config.model_type == "deepseek_v4":
        return v4_truth(config)
    text = config.get_text_config()
    with torch.device("meta"):
        layers = AutoModelForCausalLM.from_config(text).model.layers
    type_name = text.model_type
    hybrid = type_name == "qwen3_next" or type_name.startswith("qwen3_5")
    norms = type_name.startswith("qwen3")
    sparse = "qwen3_5_moe" if hybrid else "qwen3_moe"
    told = {name: getattr(text, name) for name in SAME}
    told["tie_word_embeddings"] = config.tie_word_embeddings or text.tie_word_embeddings
    told["layer_types"] = [mixer_of(layer, "qwen3_attention" if norms else "llama_attention") for layer in layers]
    told["ffn_types"] = [sparse if is_sparse(layer) else "qwen3_mlp" for layer in layers]
    told["rms_norm_unit_offset"] = told["attn_output_gate"] = hybrid
    told["dtype"] = str(text.dtype).removeprefix("torch.") if text.dtype else None
    for layer in layers:
        told.update(of_layer(layer, text, hybrid))
    told["rope_parameters"] = rope_truth(text)
    return told


def of_layer(layer, text, hybrid):
    told = {}
    if hasattr(layer, "linear_attn"):
        told.update({"linear_" + name: getattr(text, "linear_" + name) for name in DELTA})
    else:
        attention = layer.self_attn
        told["head_dim"] = attention.head_dim
        told["attention_bias"] = attention.k_proj.bias is not None
        told["attention_output_bias"] = attention.o_proj.bias is not None
    if is_sparse(layer):
        told.update({name: getattr(text, name) for name in EXPERTS})
        told["norm_topk_prob"] = getattr(layer.mlp.gate, "norm_topk_prob", True)
        if hybrid:
            told["shared_expert_intermediate_size"] = text.shared_expert_intermediate_size
    else:
        told["intermediate_size"] = layer.mlp.gate_proj.out_features
        told["mlp_bias"] = layer.mlp.down_proj.bias is not None
    if getattr(text, "sliding_window", None):
        told["sliding_window"] = text.sliding_window
    return told


def rope_truth(text):
    told = {"partial_rotary_factor": 1, **text.rope_parameters}
    told.pop("type", None)
    if told["rope_type"] == "yarn":
        told = {"beta_fast": 32, "beta_slow": 1, "truncate": True, **told}
    return told


# ---- Comparing ----


def understood(alloy, name):
    if name == "head_dim" and name not in alloy:
        return alloy["hidden_size"] // alloy["num_attention_heads"]
    if name == "attention_output_bias" and name not in alloy:
        return alloy.get("attention_bias", False)
    if name == "num_key_value_heads" and alloy.get(name) is None:
        return alloy["num_attention_heads"]
    if name == "dtype" and name not in alloy:
        return None
    return alloy[name] if name in alloy else DEFAULTS.get(name)


def differences(library, fields, folder):
    alloy, told = library.translate(fields, folder), truth(fields)
    return [
        f"    {name}: Alloy {understood(alloy, name)!r}, transformers {value!r}"
        for name, value in told.items()
        if understood(alloy, name) != value
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=pathlib.Path, default=pathlib.Path("build/release/liballoy.so"))
    parser.add_argument("--cases", type=int, default=40, help="of each family")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logging.set_verbosity(logging.CRITICAL)
    library = Library(arguments.library.resolve())
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for family in FAMILIES:
            draw = random.Random(f"{arguments.seed} {family}")
            empty = {"model_type": family}
            cases = [empty] + [draw_config(draw, family) for _ in range(arguments.cases)]
            wrong = [(fields, found) for fields in cases if (found := differences(library, fields, folder))]
            failed += len(wrong)
            print(f"{family:18} {len(cases)} configs, {len(wrong)} read otherwise")
            for fields, found in wrong:
                print(json.dumps(fields), *found, sep="\n")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
