#!/usr/bin/env python3
"""The oracle of the plug-in mixer: a composed stack in which "mamba2" is the Mamba-2 of transformers' Bamba.

    mamba2_plugin.py CONFIG MODEL [--redraw SEED] [--orders N]

As composed.py; CONFIG's layer_types may name "mamba2", whose fields are those of Bamba's config.
"""

import composed
from transformers.models.bamba.modeling_bamba import BambaMixer

FIELDS = dict(
    mamba_n_groups=1,
    mamba_d_state=128,
    mamba_d_conv=4,
    mamba_chunk_size=16,
    mamba_conv_bias=True,
    mamba_proj_bias=False,
    time_step_limit=(0.0, float("inf")),
)


class Mamba2Layer(composed.Layer):
    """The decoder layer of a composed stack around another mixer."""

    def __init__(self, ffn, config):
        composed.nn.Module.__init__(self)
        self.mixer_name, self.hashes = "mamba", False
        self.input_layernorm = composed.norm(config, config.hidden_size)
        self.post_attention_layernorm = composed.norm(config, config.hidden_size)
        for name, value in FIELDS.items():
            if not hasattr(config, name):
                setattr(config, name, value)
        config.mamba_expand = config.mamba_n_heads * config.mamba_d_head / config.hidden_size
        self.mamba = BambaMixer(config, 0)
        self.mlp = composed.FFNS[ffn](config)

    def mix(self, x):
        return self.mamba(x)


def make_layer(layer):
    def make(mixer, ffn, config, v4):
        return Mamba2Layer(ffn, config) if mixer == "mamba2" else layer(mixer, ffn, config, v4)

    return make


if __name__ == "__main__":
    composed.Layer = make_layer(composed.Layer)
    composed.main()
