"""The oracle: what a model computes when every step of transformers' own code is taken in float64.

Alloy is judged by its distance from this, with the distance of transformers' float32 as the measure. A model is here
any function from ids [T] to (logits [T, V], hidden states after each decoder layer, [T, H] each).

    expected.safetensors    input_ids i64 [T], logits f64 [T, V], hidden.I f64 [T, H], greedy i64 [N] (on past eos)
    expected.json           the distances of float32, the largest values, and the versions that made them

Where sums nearly cancel, one distance of float32 tells little: the same model with its channels in another order has the same
values and another distance. So expected.json can also hold those of such reordered models, reordered_fp32_*: how far float32
may land.
"""

import contextlib
import copy
import json
import math

import torch
import transformers
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode
from transformers.utils import logging

NARROWEST_TOP_K = 2e-5  # how close the last expert that is chosen may come to the first that is not
NARROWEST_GREEDY = 1e-4  # the same for the two largest logits
FARTHEST_FLOAT32 = 1e-3  # of the largest logit: beyond it float32 chose other experts
FLOATS = (torch.float16, torch.bfloat16, torch.float32)


class TooClose(Exception):
    """A choice would hang on rounding, so the case tells nothing: draw other weights."""


class Float64(TorchFunctionMode):
    """Within it, code that asks for a narrower float gets float64. Remembers the narrowest decision of a top-k."""

    casts = (torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16)

    def __init__(self):
        super().__init__()
        self.narrowest = float("inf")

    def __enter__(self):
        torch.set_default_dtype(torch.float64)
        return super().__enter__()

    def __exit__(self, *exception):
        torch.set_default_dtype(torch.float32)
        return super().__exit__(*exception)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in self.casts:
            return args[0].double()
        if function in (torch.topk, torch.Tensor.topk):
            self.watch(args[0], args[1] if len(args) > 1 else kwargs["k"])
        args = [widen(a) for a in args]
        return function(*args, **{name: widen(value) for name, value in kwargs.items()})

    def watch(self, scores, k):
        if k == scores.shape[-1]:
            return
        best = torch.sort(scores, dim=-1, descending=True).values
        gaps = best[..., k - 1] - best[..., k]
        gaps = gaps[gaps.isfinite()]  # what a token does not see scores -inf
        if gaps.numel() == 0:
            return
        self.narrowest = min(self.narrowest, gaps.min().item())
        if self.narrowest < NARROWEST_TOP_K:
            raise TooClose


def widen(argument):
    return torch.float64 if isinstance(argument, torch.dtype) and argument in FLOATS else argument


def hidden_and_logits(model, order=None):
    """A causal language model of transformers as a function of ids; without a cache. `order`: that of its stream's channels."""

    @torch.no_grad()
    def run(ids):
        hidden = []
        with contextlib.ExitStack() as stack:
            for layer in model.model.layers:
                keep = lambda _, __, out: hidden.append((out[0] if isinstance(out, tuple) else out)[0].clone())
                stack.callback(layer.register_forward_hook(keep).remove)
            logits = model(input_ids=ids[None], use_cache=False).logits[0]
        if order is not None:
            hidden = [h[:, torch.argsort(order)] for h in hidden]
        return logits, hidden

    return run


# Parameters that write to the residual stream, and those that touch no channel of it; all others read from it.
WRITERS = ("o_proj", "out_proj", "down_proj")
INNER = ("q_norm", "k_norm", "attn.norm", "mamba.norm", "conv1d", "A_log", "dt_bias", "mamba.D")


@torch.no_grad()
def reordered(model, order):
    """The same model with the channels of its residual stream in another order: only that of float32's sums differs."""
    model = copy.deepcopy(model)
    for name, parameter in model.named_parameters():  # a tied one is named once
        if any(part in name for part in WRITERS):
            parameter.copy_(parameter.index_select(-2, order))
        elif not any(part in name for part in INNER):
            parameter.copy_(parameter.index_select(-1, order))
    return model


def orders(hidden_size, count):
    """The first `count` orders that models are tried in."""
    return [torch.randperm(hidden_size, generator=torch.Generator().manual_seed(seed)) for seed in range(count)]


@torch.no_grad()
def cached_logits(model, ids, singly=40):
    """The same logits through the cache: the last tokens one by one."""
    pieces, cache = [], None
    for piece in (ids[:-singly], *ids[-singly:].split(1)):
        out = model(input_ids=piece[None], past_key_values=cache, use_cache=True)
        pieces.append(out.logits[0])
        cache = out.past_key_values
    return torch.cat(pieces)


def greedy(run, ids, n):
    sequence = ids
    for _ in range(n):
        best = torch.sort(run(sequence)[0][-1], descending=True)
        if not best.values[0] - best.values[1] >= NARROWEST_GREEDY:
            raise TooClose
        sequence = torch.cat([sequence, best.indices[:1]])
    return sequence[len(ids) :]


def compute(run32, run64, ids, n, mode, reordered=()):
    """-> (tensors, note). `mode` is the Float64 that `run64` was made in; n may be 0; `reordered`: the same model's other float32."""
    with mode:
        logits, hidden = run64(ids)
        continuation = greedy(run64, ids, n)
    assert logits.dtype == torch.float64 and all(h.dtype == torch.float64 for h in hidden)
    errors = [distances(run(ids), logits, hidden) for run in (run32, *reordered)]
    if max(error for error, _ in errors) > FARTHEST_FLOAT32 * logits.abs().max():
        raise TooClose
    if not torch.equal(greedy(run32, ids, n), continuation):
        raise TooClose
    tensors = {"input_ids": ids, "logits": logits}
    tensors.update({f"hidden.{i}": h for i, h in enumerate(hidden)})
    if n:
        tensors["greedy"] = continuation
    note = dict(
        torch=torch.__version__,
        transformers=transformers.__version__,
        transformers_fp32_max_abs_error=errors[0][0],
        logits_max_abs=logits.abs().max().item(),
        transformers_fp32_hidden_error=errors[0][1],
        hidden_max_abs=[h.abs().max().item() for h in hidden],
        smallest_top_k_gap=mode.narrowest if mode.narrowest < float("inf") else None,
    )
    if reordered:
        note["reordered_fp32_max_abs_error"] = [error for error, _ in errors[1:]]
        note["reordered_fp32_hidden_error"] = [hidden_error for _, hidden_error in errors[1:]]
    return tensors, note


def distance(a, b):
    """The largest difference. Distances become bounds, so one that is not finite is an error: it would let everything pass."""
    far = (a.double() - b).abs().max().item()
    if not math.isfinite(far):
        raise ValueError(f"a distance of {far}: numbers that are not finite")
    return far


def distances(result32, logits, hidden):
    """How far a float32 result is from the oracle: (logits, [layer, ...])."""
    logits32, hidden32 = result32
    return distance(logits32, logits), [distance(a, b) for a, b in zip(hidden32, hidden, strict=True)]


def write(folder, tensors, note):
    """expected.json last: its presence says that the case is complete."""
    save_file({name: t.contiguous() for name, t in tensors.items()}, folder / "expected.safetensors")
    (folder / "expected.json").write_text(json.dumps(note, indent=1) + "\n")
    error = note["transformers_fp32_max_abs_error"]
    print(f"{folder.name:24} float32 is {error:.1e} away at |logits| <= {note['logits_max_abs']:.2f}", flush=True)


def quiet():
    """One thread, since others work on the machine too, and no advice about faster kernels."""
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def draw_ids(n, vocabulary, seed):
    return torch.randint(1, vocabulary - 1, (n,), generator=torch.Generator().manual_seed(seed))
