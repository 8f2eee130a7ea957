"""A residual that a plug-in brings (residual.c): new weights under its names, the same bits under every setting of
`alloy verify`, conversion, and a count that is exact."""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

ALLOY = os.environ["ALLOY"]
PLUGIN = os.environ["PLUGIN"]
LAYERS, HIDDEN, TOKENS = 3, 48, 20
CONFIG = {
    "model_type": "alloy",
    "vocab_size": 256,
    "hidden_size": HIDDEN,
    "layer_types": ["qwen3_5_gdn", "qwen3_attention", "qwen3_attention"],
    "ffn_types": ["qwen3_mlp"] * LAYERS,
    "intermediate_size": 80,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "max_position_embeddings": 256,
    "initializer_range": 0.1,
    "dtype": "float32",
}
IDS = ",".join(str(7 * i % 256) for i in range(TOKENS))


def alloy(*arguments, plugin=True, code=0):
    command = [ALLOY, *map(str, arguments), "--json"] + (["--plugin", PLUGIN] if plugin else [])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != code:
        raise AssertionError(f"{command} ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout) if code == 0 and done.stdout else done.stderr


def header(folder):
    data = (folder / "model.safetensors").read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


class Residual(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        root = Path(cls.scratch.name)
        root.chmod(0o755)
        cls.folders = {}
        for name, more in ("gated", {"residual_mode": "gated_sum"}), ("plain", {}):
            config = root / f"{name}.json"
            config.write_text(json.dumps(CONFIG | more))
            cls.folders[name] = root / name
            alloy("init", config, "--out", root / name, "--seed", 1)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def test_its_weights_have_their_names_and_types(self):
        gated, plain = header(self.folders["gated"]), header(self.folders["plain"])
        added = {
            f"model.layers.{i}.{name}"
            for i in range(LAYERS)
            for name in (
                "mixer_gate.gate.weight",
                "mixer_gate.gate.bias",
                "ffn_gate.gate.weight",
                "ffn_gate.gate.bias",
                "mixer_output_norm.weight",
                "pre_feedforward_norm.weight",
            )
        }
        removed = {f"model.layers.{i}.post_attention_layernorm.weight" for i in range(LAYERS)}
        self.assertEqual(set(gated) - set(plain), added)
        self.assertEqual(set(plain) - set(gated), removed)
        self.assertEqual(gated["model.layers.1.ffn_gate.gate.weight"]["shape"], [1, HIDDEN])

    def test_it_runs_and_its_bits_depend_on_no_setting(self):
        verified = alloy("verify", self.folders["gated"], "--ids", IDS)
        self.assertTrue(all(run["identical"] for run in verified["runs"]), verified)
        gated, plain = (
            alloy("generate", self.folders[name], "--ids", "1,2,3", "-n", 8)["outputs"][0]["ids"]
            for name in ("gated", "plain")
        )
        self.assertEqual(len(gated), 8)
        self.assertNotEqual(gated, plain)

    def test_conversion_keeps_its_weights(self):
        out = Path(self.scratch.name) / "bf16"
        alloy("convert", self.folders["gated"], "--out", out, "--dtype", "bf16")
        converted = header(out)
        self.assertEqual(set(converted), set(header(self.folders["gated"])))
        self.assertEqual(converted["model.layers.0.mixer_gate.gate.weight"]["dtype"], "BF16")
        self.assertEqual(converted["model.layers.0.mixer_gate.gate.bias"]["dtype"], "F32")
        alloy("verify", out, "--ids", IDS)

    def test_its_count_is_exact(self):
        totals = {}
        for name, folder in self.folders.items():
            report = alloy("roofline", folder, "--at", f"prefill:{TOKENS}", "--accounting", "exact", "--logits", "all")
            totals[name] = report["results"][0]["total"]
        modules, rows = 2 * LAYERS, TOKENS * HIDDEN
        flops = totals["gated"]["flops"] - totals["plain"]["flops"]
        # at each module a linear of one row, its bias, a sigmoid (3) of it, and the product; one norm more a layer
        self.assertEqual(flops, modules * (2 * rows + TOKENS + 3 * TOKENS + rows) + LAYERS * 4 * rows)
        parameters = [alloy("info", self.folders[name])["parameters"] for name in ("gated", "plain")]
        self.assertEqual(parameters[0] - parameters[1], modules * (HIDDEN + 1) + LAYERS * HIDDEN)

    def test_without_the_plugin_its_weights_have_no_use(self):
        error = alloy("generate", self.folders["gated"], "--ids", "1", "-n", 1, plugin=False, code=3)
        self.assertIn('no residual "gated_sum" is known', error)
        self.assertIn("3 missing tensors: model.layers.0.post_attention_layernorm.weight", error)
        self.assertIn("18 tensors that nothing uses", error)

    def test_its_check_is_asked(self):
        config = Path(self.scratch.name) / "small.json"
        config.write_text(json.dumps(CONFIG | {"residual_mode": "gated_sum", "hidden_size": 4}))
        self.assertIn("hidden_size is 4", alloy("info", config, code=5))

    def test_it_is_listed(self):
        residuals = {r["name"]: r["summary"] for r in alloy("modules")["residuals"]}
        self.assertEqual(list(residuals), ["pre_norm", "mhc", "sandwich_norm", "gated_sum"])
        self.assertEqual(residuals["gated_sum"], "h = h + y * sigmoid(h . gate)")


if __name__ == "__main__":
    unittest.main()
