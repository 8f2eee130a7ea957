#!/usr/bin/env python3
"""A real checkpoint from outside, run by transformers and by Alloy: greedy ids must be equal.

    real_model.py prepare GGUF OUT
    real_model.py compare OUT ALLOY

`prepare` writes SmolLM2-135M-Instruct as a Hugging Face directory twice, OUT/fp32 and OUT/bf16, and OUT/expected.json:
for each directory and prompt of tests/prompts the ids of the prompt and those that transformers chooses in float32, on
past the end of text. The narrowest lead of a chosen token is noted, so that a difference can be told from a coin toss.
`compare` has ALLOY generate the same, prints the texts and a table, and fails when ids differ.
"""

import argparse
import json
import pathlib
import subprocess

import oracle
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaForCausalLM

PROMPTS = pathlib.Path(__file__).resolve().parents[1] / "prompts"
NEW = 128  # tokens
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def write_directories(gguf, out):
    source = dict(pretrained_model_name_or_path=gguf.parent, gguf_file=gguf.name)
    dequantized = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(**source)
    config = dequantized.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    for name, dtype in DTYPES.items():
        model = LlamaForCausalLM(config)
        model.load_state_dict(dequantized.state_dict())
        model.generation_config = GenerationConfig.from_model_config(config)
        model.to(dtype).save_pretrained(out / name)
        tokenizer.save_pretrained(out / name)


def prompt_ids(tokenizer):
    """{name: ids}; a .json prompt is a conversation."""
    ids = {}
    for path in sorted(PROMPTS.iterdir()):
        if path.suffix == ".json":
            chat = tokenizer.apply_chat_template(
                json.loads(path.read_text()), add_generation_prompt=True, tokenize=False
            )
            ids[path.stem] = tokenizer.encode(chat, add_special_tokens=False)
        else:
            ids[path.stem] = tokenizer.encode(path.read_text())
    return ids


@torch.no_grad()
def greedy(model, ids, n):
    """-> (the n ids, how far the chosen logit was ahead of the second at the closest choice)."""
    feed, cache, chosen, lead = torch.tensor([ids]), None, [], float("inf")
    for _ in range(n):
        out = model(input_ids=feed, past_key_values=cache, use_cache=True, logits_to_keep=1)
        best = out.logits[0, -1].topk(2)
        lead = min(lead, (best.values[0] - best.values[1]).item())
        cache, feed = out.past_key_values, best.indices[None, :1]
        chosen.append(feed.item())
    return chosen, lead


def prepare(gguf, out):
    write_directories(gguf, out)
    expected = {}
    for name in DTYPES:
        tokenizer = AutoTokenizer.from_pretrained(out / name)
        model = AutoModelForCausalLM.from_pretrained(
            out / name, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        expected[name] = {}
        for prompt, ids in prompt_ids(tokenizer).items():
            chosen, lead = greedy(model, ids, NEW)
            text = tokenizer.decode(chosen)
            expected[name][prompt] = dict(prompt=ids, ids=chosen, narrowest_lead=lead, text=text)
            print(f"{name} {prompt:14} {len(ids):5} tokens, narrowest lead {lead:.1e}", flush=True)
    (out / "expected.json").write_text(json.dumps(expected))


def run_alloy(alloy, model, ids):
    command = [alloy, "generate", model, "--ids", ",".join(map(str, ids)), "-n", str(NEW), "--ignore-eos", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{alloy} generate {model} ended with {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def first_difference(a, b):
    return next((i for i, pair in enumerate(zip(a, b, strict=False)) if pair[0] != pair[1]), min(len(a), len(b)))


def compare(out, alloy):
    rows, equal = [], True
    for name, prompts in json.loads((out / "expected.json").read_text()).items():
        for prompt, expected in prompts.items():
            answer = run_alloy(alloy, out / name, expected["prompt"])
            output = answer["outputs"][0]
            same = output["ids"] == expected["ids"]
            equal = equal and same
            print(f"--- {name}, {prompt} ---\n{output['text']}\n", flush=True)
            if same:
                verdict = "PASS"
            else:
                at = first_difference(output["ids"], expected["ids"])
                verdict = f"FAIL at token {at} (narrowest lead {expected['narrowest_lead']:.1e})"
                print(f"    transformers: {expected['text']}\n")
            rows.append(f"{name:5} {prompt:14} {len(expected['prompt']):6} {len(output['ids']):5}  {verdict}")
    print("dir   prompt         tokens   new  greedy ids equal to transformers fp32")
    print("\n".join(rows))
    return equal


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("prepare")
    command.add_argument("gguf", type=pathlib.Path)
    command.add_argument("out", type=pathlib.Path)
    command = commands.add_parser("compare")
    command.add_argument("out", type=pathlib.Path)
    command.add_argument("alloy")
    arguments = parser.parse_args()
    oracle.quiet()
    if arguments.command == "prepare":
        prepare(arguments.gguf, arguments.out)
    elif not compare(arguments.out, arguments.alloy):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
