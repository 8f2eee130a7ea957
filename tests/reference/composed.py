#!/usr/bin/env python3
"""The oracle of a composed model: assembles from the modules of transformers a stack that no family of theirs has.

    composed.py CONFIG MODEL [--redraw SEED] [--orders N]

CONFIG is a config of model_type "alloy"; MODEL a folder that `alloy init CONFIG --out MODEL` made. What the config
means is read from CONFIG, only the weights come from MODEL. Writes MODEL/expected.safetensors and MODEL/expected.json,
so that `alloy compare MODEL MODEL/expected.safetensors` prints the table.

With --redraw the weights are first replaced, in place, by ones that hide nothing (make_golden.py): those that `init`
draws have norms of one and biases of zero. With --orders the distances of the same stack in N other orders of its channels are
noted too (oracle.py).
"""

import argparse
import json
import pathlib

import oracle
import torch
from make_golden import draw
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import DeepseekV4Config, PreTrainedConfig
from transformers.models.deepseek_v4.modeling_deepseek_v4 import (
    DeepseekV4Attention,
    DeepseekV4HyperConnection,
    DeepseekV4HyperHead,
    DeepseekV4RotaryEmbedding,
    DeepseekV4SparseMoeBlock,
)
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaMLP
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention, Qwen3RMSNorm
from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5Attention, Qwen3_5GatedDeltaNet, Qwen3_5RMSNorm
from transformers.models.qwen3_5_moe.modeling_qwen3_5_moe import Qwen3_5MoeSparseMoeBlock
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeSparseMoeBlock
from transformers.models.qwen3_next.modeling_qwen3_next import Qwen3NextRotaryEmbedding

PROMPT = 333  # tokens
NEW = 24
TRIES = 60  # prompts to draw until no choice hangs on rounding
GENERIC = {  # the Hub's names for a mixer
    "full_attention": "qwen3_attention",
    "sliding_attention": "qwen3_attention_sliding",
    "linear_attention": "qwen3_5_gdn",
}
DEFAULTS = dict(
    hidden_act="silu",
    attention_bias=False,
    mlp_bias=False,
    attention_dropout=0.0,
    attn_output_gate=False,
    rms_norm_eps=1e-6,
    rms_norm_unit_offset=False,
    linear_conv_kernel_dim=4,
    norm_topk_prob=False,
    tie_word_embeddings=False,
)


def spelled_out(types):
    """layer_types or ffn_types as a plain list of Alloy's own names."""
    if isinstance(types, dict):
        types = types["pattern"] * types["repeat"]
    return [GENERIC.get(name, name) for name in types]


def layer_config(fields, names, depth):
    """The fields as this depth sees them; a depth is nearer than a module's name."""
    overrides = fields.get("layer_overrides", {})
    own = {**DEFAULTS, **fields}
    for key in (*names, str(depth)):
        own.update(overrides.get(key, {}))
    own.setdefault("linear_num_value_heads", own.get("linear_num_key_heads"))
    own.setdefault("attention_output_bias", own["attention_bias"])
    settings = own.get("rope_parameters", {})
    rope = {"rope_type": "default", "rope_theta": 10000.0, **settings.get("main", settings)}
    about_all_layers = ("model_type", "layer_types", "ffn_types", "layer_overrides", "rope_parameters")
    config = PreTrainedConfig(**{name: value for name, value in own.items() if name not in about_all_layers})
    config.rope_parameters = rope
    config.layer_types = ["linear_attention"]  # asked for by the delta net, which makes no use of it
    config._attn_implementation = config._experts_implementation = "eager"
    return config


V4_MIXERS = {
    "dsv4_sliding_attention": "sliding_attention",
    "dsv4_hca_attention": "heavily_compressed_attention",
    "dsv4_csa_attention": "compressed_sparse_attention",
}
V4_FFNS = {"dsv4_moe": "moe", "dsv4_hash_moe": "hash_moe"}
V4_SAME = [
    *("vocab_size", "hidden_size", "moe_intermediate_size", "num_attention_heads", "head_dim", "q_lora_rank"),
    *("num_experts_per_tok", "scoring_func", "routed_scaling_factor", "max_position_embeddings", "compress_rates"),
    *("swiglu_limit", "sliding_window", "o_groups", "o_lora_rank", "index_n_heads", "index_head_dim", "index_topk"),
    *("rms_norm_eps", "mlp_bias"),
]


def v4_config(fields, names, depth):
    """A DeepSeek-V4 of this layer alone."""
    own = {**DEFAULTS, **fields}
    for key in (*names, str(depth)):
        own.update(fields.get("layer_overrides", {}).get(key, {}))
    share = {"partial_rotary_factor": own.get("qk_rope_head_dim", 2) / own.get("head_dim", 2)}
    config = DeepseekV4Config(
        num_hidden_layers=1,
        layer_types=[V4_MIXERS.get(names[0], "sliding_attention")],
        mlp_layer_types=[V4_FFNS.get(names[1], "moe")],
        n_routed_experts=own.get("num_experts", 1),
        rope_parameters={kind: {**settings, **share} for kind, settings in own["rope_parameters"].items()},
        hc_mult=own.get("hc_mult", 4),
        hc_sinkhorn_iters=own.get("hc_sinkhorn_iters", 20),
        hc_eps=own.get("hc_eps", 1e-6),
        **{name: own[name] for name in V4_SAME if name in own},
        **share,
    )
    config._attn_implementation = config._experts_implementation = "eager"
    return config


def norm(config, size):
    return (Qwen3_5RMSNorm if config.rms_norm_unit_offset else Qwen3RMSNorm)(size, eps=config.rms_norm_eps)


def make_mixer(name, config):
    if name == "qwen3_5_gdn":
        return Qwen3_5GatedDeltaNet(config, 0)
    if name.startswith("llama_attention"):
        mixer = LlamaAttention(config, 0)
    else:
        mixer = (Qwen3_5Attention if config.attn_output_gate else Qwen3Attention)(config, 0)
        mixer.q_norm, mixer.k_norm = norm(config, config.head_dim), norm(config, config.head_dim)
    width = config.num_attention_heads * config.head_dim
    mixer.o_proj = nn.Linear(width, config.hidden_size, bias=config.attention_output_bias)
    return mixer


FFNS = {"qwen3_mlp": LlamaMLP, "qwen3_moe": Qwen3MoeSparseMoeBlock, "qwen3_5_moe": Qwen3_5MoeSparseMoeBlock}


class Layer(nn.Module):
    def __init__(self, mixer, ffn, config, v4):
        super().__init__()
        self.mixer_name = "linear_attn" if mixer == "qwen3_5_gdn" else "self_attn"
        self.is_v4, self.hashes = mixer in V4_MIXERS, ffn in V4_FFNS
        self.window = config.sliding_window if mixer.endswith("_sliding") or self.is_v4 else None
        self.input_layernorm = norm(config, config.hidden_size)
        self.post_attention_layernorm = norm(config, config.hidden_size)
        self.add_module(self.mixer_name, DeepseekV4Attention(v4, 0) if self.is_v4 else make_mixer(mixer, config))
        self.mlp = DeepseekV4SparseMoeBlock(v4, 0) if ffn in V4_FFNS else FFNS[ffn](config)
        if self.is_v4:
            self.rotary = DeepseekV4RotaryEmbedding(v4)
        elif self.mixer_name == "self_attn":
            self.rotary = Qwen3NextRotaryEmbedding(config)
        if getattr(config, "use_mhc", False):
            self.attn_hc, self.ffn_hc = DeepseekV4HyperConnection(v4), DeepseekV4HyperConnection(v4)

    def mask(self, n):
        """0 where a query sees a key, -inf elsewhere: [1, 1, n, n]."""
        age = torch.arange(n)[:, None] - torch.arange(n)[None]
        seen = (age >= 0) & (age < (self.window or n))
        return torch.zeros(n, n).masked_fill(~seen, float("-inf"))[None, None]

    def mix(self, x):
        if self.mixer_name == "linear_attn":
            return self.linear_attn(x)
        positions = torch.arange(x.shape[1])[None]
        mask = self.mask(x.shape[1])
        if self.is_v4:
            rotary = {kind: self.rotary(x, positions, kind) for kind in ("main", "compress")}
            return self.self_attn(x, position_embeddings=rotary, position_ids=positions, attention_mask=mask)[0]
        return self.self_attn(x, position_embeddings=self.rotary(x, positions), attention_mask=mask)[0]

    def feed_forward(self, x, ids):
        return self.mlp(x, input_ids=ids) if self.hashes else self.mlp(x)

    def forward(self, x, ids):
        if not hasattr(self, "attn_hc"):
            x = x + self.mix(self.input_layernorm(x))
            return x + self.feed_forward(self.post_attention_layernorm(x), ids)
        x = around(self.attn_hc, x, lambda one: self.mix(self.input_layernorm(one)))
        return around(self.ffn_hc, x, lambda one: self.feed_forward(self.post_attention_layernorm(one), ids))


def around(connection, streams, module):
    """[1, n, streams, hidden]: the module sees one of them; its output and all of them are mixed."""
    post, comb, one = connection(streams)
    return post.unsqueeze(-1) * module(one).unsqueeze(-2) + comb.transpose(-1, -2) @ streams


class Stack(nn.Module):
    """Parameters carry the names that a checkpoint has."""

    def __init__(self, fields):
        super().__init__()
        mixers, ffns = spelled_out(fields["layer_types"]), spelled_out(fields["ffn_types"])
        self.streams = fields.get("hc_mult", 4) if fields.get("use_mhc") else 0
        v4 = self.streams > 0 or bool({*mixers, *ffns} & {*V4_MIXERS, *V4_FFNS})
        layers = [
            Layer(mixer, ffn, layer_config(fields, (mixer, ffn), i), v4 and v4_config(fields, (mixer, ffn), i))
            for i, (mixer, ffn) in enumerate(zip(mixers, ffns, strict=True))
        ]
        top = layer_config(fields, (), "")
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(top.vocab_size, top.hidden_size)
        self.model.layers = nn.ModuleList(layers)
        self.model.norm = norm(top, top.hidden_size)
        if self.streams:
            self.model.hc_head = DeepseekV4HyperHead(v4_config(fields, ("", ""), ""))
        self.lm_head = nn.Linear(top.hidden_size, top.vocab_size, bias=False)
        if top.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    @torch.no_grad()
    def forward(self, ids):
        x, hidden = self.model.embed_tokens(ids[None]), []
        if self.streams:
            x = x.unsqueeze(2).repeat(1, 1, self.streams, 1)
        for layer in self.model.layers:
            x = layer(x, ids[None])
            hidden.append(x[0])
        if self.streams:
            x = self.model.hc_head(x)
        return self.lm_head(self.model.norm(x))[0], hidden


def redraw(folder, fields, seed):
    generator = torch.Generator().manual_seed(seed)
    for path in sorted(folder.glob("model*.safetensors")):
        weights = load_file(path)
        unit_offset = fields.get("rms_norm_unit_offset", False)
        for name in sorted(name for name, t in weights.items() if t.is_floating_point()):
            weights[name] = draw(name, weights[name].shape, unit_offset, generator).to(weights[name].dtype)
        save_file(weights, path, metadata={"format": "pt"})


def read_weights(folder, stack):
    """The weights of the folder under the names of the stack, which keeps experts stacked; nothing may be left over."""
    files = sorted(folder.glob("model*.safetensors"))
    found = {name: t for path in files for name, t in load_file(path).items()}
    found = {name: t.double() if t.is_floating_point() else t for name, t in found.items()}
    weights = {}
    for name in stack.state_dict():
        if name in found:
            weights[name] = found.pop(name)
        elif ".mlp.experts." in name:
            prefix, projection = name.rsplit(".", 1)
            parts = ["gate_proj", "up_proj"] if projection == "gate_up_proj" else ["down_proj"]
            count = len(stack.get_parameter(name))
            each = [torch.cat([found.pop(f"{prefix}.{e}.{p}.weight") for p in parts]) for e in range(count)]
            weights[name] = torch.stack(each)
        elif name == "lm_head.weight":
            weights[name] = weights["model.embed_tokens.weight"]
        else:
            raise SystemExit(f"{folder}: no {name}")
    if found:
        raise SystemExit(f"{folder}: left over: {', '.join(sorted(found))}")
    return weights


def in_order(stack, order):
    """A run of the stack with the channels of its residual stream in another order."""
    stack = oracle.reordered(stack, order)

    def run(ids):
        logits, hidden = stack(ids)
        return logits, [h[:, torch.argsort(order)] for h in hidden]

    return run


def write_expected(fields, folder, orders):
    """`orders`: in how many orders of the channels float32 is measured beside its own."""
    stack32 = Stack(fields).eval()
    weights = read_weights(folder, stack32)
    stack32.load_state_dict(weights)
    others = [in_order(stack32, order) for order in oracle.orders(fields["hidden_size"], orders)]
    for seed in range(TRIES):
        mode = oracle.Float64()
        with mode:
            stack64 = Stack(fields).eval()
            stack64.load_state_dict(weights)
        try:
            tensors, note = oracle.compute(
                stack32, stack64, oracle.draw_ids(PROMPT, fields["vocab_size"], seed), NEW, mode, others
            )
        except oracle.TooClose:
            continue
        return oracle.write(folder, tensors, {"model_type": "alloy", "seed": seed, **note})
    raise SystemExit(f"{folder}: no prompt of {TRIES} without a near tie")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--redraw", type=int, metavar="SEED")
    parser.add_argument("--orders", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    oracle.quiet()
    fields = json.loads(arguments.config.read_text())
    if arguments.redraw is not None:
        redraw(arguments.model, fields, arguments.redraw)
    write_expected(fields, arguments.model, arguments.orders)


if __name__ == "__main__":
    main()
