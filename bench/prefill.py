"""Prefill of a checkpoint by transformers in float32, eager: tokens a second, the median last. The peer of bench_model.

prefill.py MODEL THREADS TOKENS RUNS
"""

import statistics
import sys
import time

import torch
from transformers import AutoModelForCausalLM

folder, threads, tokens, runs = sys.argv[1], *map(int, sys.argv[2:5])
torch.set_num_threads(threads)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
ids = (torch.arange(tokens) * 7919 + 13) % model.config.vocab_size
speeds = []
with torch.no_grad():
    for run in range(runs + 1):
        begin = time.perf_counter()
        model(input_ids=ids[None], use_cache=True, logits_to_keep=1)
        if run:  # the first one warms up
            speeds.append(tokens / (time.perf_counter() - begin))
            print(f"prefill {speeds[-1]:.1f} tokens/s", flush=True)
print(f"median {statistics.median(speeds):.3f}")
