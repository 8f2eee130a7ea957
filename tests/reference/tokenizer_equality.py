"""Are the ids equal to those of the `tokenizers` library, and the texts that they decode to?

    python tokenizer_equality.py [--library build/release/liballoy.so] [--megabytes 6] [--seed 1] [FOLDER...]

Each FOLDER holds a tokenizer.json; by default all of build/tokenizers, and small ones made on the fly that between them have every
component. Prints a line for each and ends with 1 when anything differs.
"""

import argparse
import json
import os
import random
import sys
import tempfile
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers
from alloy_tokenizer import AlloyError, Library
from tokenizer_corpus import corpus, edge_cases, mixed_document

ROOT = Path(__file__).resolve().parents[2]


def first_difference(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


class Comparison:
    def __init__(self, library, path):
        self.theirs = tokenizers.Tokenizer.from_file(str(path))
        self.theirs.no_truncation()
        self.theirs.no_padding()
        self.ours = library.open(path)
        self.texts = self.bytes = self.ids = 0
        self.failures = []

    def fail(self, what, text, theirs, ours):
        at = first_difference(theirs, ours)
        self.failures.append(
            f"{what}: at {at} of {len(theirs)}: theirs {theirs[at : at + 4]!r}, ours {ours[at : at + 4]!r}, text {text[:80]!r}"
        )

    def check_text(self, text):
        theirs = self.theirs.encode(text).ids
        ours = self.ours.encode(text)
        self.texts += 1
        self.bytes += len(text.encode())
        self.ids += len(theirs)
        if theirs != ours:
            # the smallest stretch that still differs says more
            while len(text) > 1:
                halves = [
                    text[: len(text) // 2],
                    text[len(text) // 2 :],
                    text[len(text) // 4 : -len(text) // 4 or None],
                    text[1:],
                    text[:-1],
                ]
                text = (
                    next(
                        (h for h in halves if len(h) < len(text) and self.theirs.encode(h).ids != self.ours.encode(h)),
                        None,
                    )
                    or text
                )
                if all(self.theirs.encode(h).ids == self.ours.encode(h) for h in (text[1:], text[:-1])):
                    break
            self.fail("ids", text, self.theirs.encode(text).ids, self.ours.encode(text))
            return
        self.check_decoding(text, theirs)

    def check_decoding(self, text, ids):
        for skip in (True, False):
            theirs = self.theirs.decode(ids, skip_special_tokens=skip)
            ours = self.ours.decode(ids, skip)
            if theirs != ours:
                self.fail(f"decode, skip {skip}", text, theirs, ours)

    def check_random_ids(self, rng):
        """Ids that no text gives: broken characters, bytes and specials in any order."""
        size = self.theirs.get_vocab_size()
        small = [i for i in (self.theirs.token_to_id(f"<0x{b:02X}>") for b in range(256)) if i is not None] or list(
            range(min(300, size))
        )
        for _ in range(300):
            ids = [rng.choice(small) if rng.random() < 0.5 else rng.randrange(size) for _ in range(rng.randint(1, 12))]
            self.check_decoding(str(ids), ids)
            whole = self.ours.decode(ids, False)
            streamed = "".join(self.ours.stream(ids, False))
            if whole != streamed:
                self.fail("stream", str(ids), whole, streamed)

    def check_special_as_text(self, texts):
        self.theirs.encode_special_tokens = True
        for text in texts:
            theirs, ours = self.theirs.encode(text).ids, self.ours.encode(text, special_as_text=True)
            if theirs != ours:
                self.fail("special tokens as text", text, theirs, ours)
        self.theirs.encode_special_tokens = False


def special_texts(path):
    tokens = [t["content"] for t in json.loads(path.read_text())["added_tokens"]]
    return tokens[:12] + tokens[-4:]


def compare(library, name, path, megabytes, seed, edges=True):
    special = special_texts(path)
    rng = random.Random(seed)
    try:
        comparison = Comparison(library, path)
        for text in corpus(megabytes, seed, special):
            comparison.check_text(text)
        for text in edge_cases(special) if edges else ():
            comparison.check_text(text)
        comparison.check_random_ids(rng)
        comparison.check_special_as_text([mixed_document(rng, 300, special) for _ in range(30)])
        failures = comparison.failures
        print(
            f"{name:<28} {comparison.bytes / 1e6:7.2f} MB {comparison.ids:9} ids {comparison.texts:5} texts: {len(failures)} differences",
            flush=True,
        )
    except AlloyError as error:
        failures = [str(error)]
        print(f"{name:<28} {error}", flush=True)
    for failure in failures[:8]:
        print("    " + failure)
    return len(failures)


# ---- Small tokenizers with every component ------------------------------------------------------------------------------------------

QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN_3_5 = (
    QWEN.replace(r"\p{L}+", r"[\p{L}\p{M}]+")
    .replace(r"[^\r\n\p{L}\p{N}]?", r"[^\r\n\p{L}\p{N}]?")
    .replace(r" ?[^\s\p{L}\p{N}]+", r" ?[^\s\p{L}\p{M}\p{N}]+")
)
KIMI = r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}|\s+(?!\S)|\s+"
MARK = "\u2581"


def byte_level(use_regex=False, add_prefix_space=False):
    return {"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": True, "use_regex": use_regex}


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def sequence(key, *items):
    return {"type": "Sequence", key: list(items)}


def metaspace(**fields):
    return {"type": "Metaspace", "replacement": MARK, **fields}


def added(content, **fields):
    return {
        "id": 0,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": False,
        **fields,
    }


def variants():
    """Name, and the parts of a tokenizer.json that differ from plain ones."""
    digits = [{"type": "Digits", "individual_digits": flag} for flag in (True, False)]
    behaviors = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
    yield "gpt2", {"pre_tokenizer": byte_level(True), "decoder": byte_level(), "post_processor": byte_level()}
    yield "gpt2_prefix", {"pre_tokenizer": byte_level(True, True), "decoder": byte_level()}
    yield (
        "qwen3_5",
        {
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": sequence("pretokenizers", split(QWEN_3_5), byte_level()),
            "decoder": byte_level(),
        },
    )
    yield "kimi", {"pre_tokenizer": sequence("pretokenizers", split(KIMI), byte_level()), "decoder": byte_level()}
    for i, step in enumerate(digits):
        yield (
            f"digits_{i}",
            {"pre_tokenizer": sequence("pretokenizers", step, byte_level(True)), "decoder": byte_level()},
        )
    for behavior in behaviors:
        step = {"type": "Punctuation", "behavior": behavior}
        yield (
            f"punctuation_{behavior}",
            {"pre_tokenizer": sequence("pretokenizers", step, byte_level()), "decoder": byte_level()},
        )
        for invert in (False, True):
            for pattern in (r"\s", r"\p{N}+", r"[^\p{L}]*", r"\w+", r"\b\w", r"^.|.$", r"[[:punct:]]|\h{2}"):
                steps = sequence("pretokenizers", split(pattern, behavior, invert), byte_level())
                yield f"split_{behavior}_{invert}_{pattern}", {"pre_tokenizer": steps, "decoder": byte_level()}
            steps = sequence("pretokenizers", split(" ", behavior, invert, "String"), byte_level())
            yield f"split_{behavior}_{invert}_string", {"pre_tokenizer": steps, "decoder": byte_level()}
    yield (
        "fixed_length",
        {
            "pre_tokenizer": sequence("pretokenizers", {"type": "FixedLength", "length": 3}, byte_level()),
            "decoder": byte_level(),
        },
    )
    yield (
        "whitespace_split",
        {
            "pre_tokenizer": sequence("pretokenizers", {"type": "WhitespaceSplit"}, byte_level()),
            "decoder": byte_level(),
        },
    )
    yield (
        "bytes_twice",
        {
            "pre_tokenizer": sequence("pretokenizers", byte_level(), split(r"\p{L}+"), byte_level()),
            "decoder": byte_level(),
        },
    )
    for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase"):
        yield form, {"normalizer": {"type": form}, "pre_tokenizer": byte_level(), "decoder": byte_level()}
    for left in (False, True):
        for right in (False, True):
            strip = {"type": "Strip", "strip_left": left, "strip_right": right}
            yield f"strip_{left}_{right}", {"normalizer": strip, "pre_tokenizer": byte_level(), "decoder": byte_level()}
    replace = {"type": "Replace", "pattern": {"Regex": r" {2,}|\d+"}, "content": "#"}
    yield (
        "replace_regex",
        {
            "normalizer": sequence("normalizers", replace, {"type": "NFKC"}),
            "pre_tokenizer": byte_level(),
            "decoder": byte_level(),
        },
    )
    prepend = [{"type": "Prepend", "prepend": MARK}, {"type": "Replace", "pattern": {"String": " "}, "content": MARK}]
    fallback = sequence(
        "decoders",
        {"type": "Replace", "pattern": {"String": MARK}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    )
    yield (
        "llama2",
        {
            "normalizer": sequence("normalizers", *prepend),
            "decoder": fallback,
            "model": {"byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"},
        },
    )
    for scheme in ("always", "first", "never"):
        for flag in (False, True):
            part = metaspace(prepend_scheme=scheme, split=flag)
            decoder = sequence("decoders", part, {"type": "ByteFallback"}, {"type": "Fuse"})
            yield (
                f"metaspace_{scheme}_{flag}",
                {"pre_tokenizer": part, "decoder": decoder, "model": {"byte_fallback": True}},
            )
    for flag in (False, True):
        part = metaspace(add_prefix_space=flag, **({} if flag else {"prepend_scheme": "never"}))
        yield (
            f"metaspace_legacy_{flag}",
            {"pre_tokenizer": part, "decoder": part, "model": {"unk_token": "<unk>", "fuse_unk": flag}},
        )
    yield (
        "unknown",
        {"pre_tokenizer": metaspace(), "decoder": metaspace(), "model": {"unk_token": "<unk>", "drop": "aé1"}},
    )
    yield "no_unknown", {"pre_tokenizer": metaspace(), "decoder": metaspace(), "model": {"drop": "aé1"}}
    yield (
        "some_bytes",
        {
            "pre_tokenizer": metaspace(),
            "decoder": None,
            "model": {"unk_token": "<unk>", "byte_fallback": True, "fuse_unk": True, "bytes": 200},
        },
    )
    yield (
        "ignore_merges",
        {"pre_tokenizer": byte_level(True), "decoder": byte_level(), "model": {"ignore_merges": True}},
    )
    yield (
        "suffix",
        {"pre_tokenizer": {"type": "WhitespaceSplit"}, "model": {"end_of_word_suffix": "</w>", "unk_token": "<unk>"}},
    )
    yield (
        "prefix",
        {
            "pre_tokenizer": {"type": "WhitespaceSplit"},
            "model": {"continuing_subword_prefix": "##", "unk_token": "<unk>"},
        },
    )
    tokens = [
        added("<s>", special=True),
        added("<word>", single_word=True),
        added("<left>", lstrip=True),
        added("<right>", rstrip=True),
    ]
    tokens += [
        added("<both>", lstrip=True, rstrip=True, special=True),
        added("Norm É", normalized=True),
        added("\n\n\n"),
        added("<s"),
        added("ab"),
    ]
    template = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "end", "type_id": 0}},
        ],
    }
    template |= {
        "pair": [],
        "special_tokens": {
            "<s>": {"id": "<s>", "ids": [5], "tokens": ["<s>"]},
            "end": {"id": "end", "ids": [6, 7], "tokens": ["a", "b"]},
        },
    }
    template["pair"] = template["single"] + [{"Sequence": {"id": "B", "type_id": 1}}]
    yield (
        "added",
        {
            "added_tokens": tokens,
            "pre_tokenizer": byte_level(True),
            "decoder": byte_level(),
            "post_processor": sequence("processors", byte_level(), template),
        },
    )
    yield (
        "added_normalized",
        {
            "added_tokens": tokens,
            "normalizer": sequence("normalizers", {"type": "NFD"}, {"type": "Lowercase"}),
            "pre_tokenizer": byte_level(True),
            "decoder": byte_level(),
        },
    )
    yield (
        "added_llama2",
        {
            "added_tokens": tokens,
            "normalizer": sequence("normalizers", *prepend),
            "decoder": fallback,
            "model": {"byte_fallback": True, "unk_token": "<unk>", "fuse_unk": True},
        },
    )
    yield (
        "added_metaspace",
        {
            "added_tokens": tokens,
            "pre_tokenizer": metaspace(prepend_scheme="first"),
            "decoder": metaspace(prepend_scheme="first"),
            "model": {"byte_fallback": True},
        },
    )
    for name, stages in {
        "fused_strip": [{"type": "Fuse"}, {"type": "Strip", "content": "a", "start": 2, "stop": 0}],
        "fused_replace": [{"type": "Fuse"}, {"type": "Replace", "pattern": {"String": MARK + "a"}, "content": "[]"}],
        "regex_replace": [{"type": "Replace", "pattern": {"Regex": r"[aeiou]+"}, "content": "_"}],
        "byte_level_replace": [byte_level(), {"type": "Replace", "pattern": {"String": "th"}, "content": "TH"}],
        "nothing": [],
    }.items():
        yield (
            f"decode_{name}",
            {"pre_tokenizer": metaspace(), "decoder": sequence("decoders", *stages), "model": {"byte_fallback": True}},
        )
    yield "decode_none", {"pre_tokenizer": byte_level(True), "decoder": None}


def train(spec, texts):
    """A tokenizer.json with a small vocabulary trained through the pre-tokenizer of the specification."""
    options = dict(spec.get("model", {}))
    drop, byte_count = options.pop("drop", ""), options.pop("bytes", 256)
    empty = {"type": "BPE", "vocab": {}, "merges": []}
    shell = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "post_processor": None,
        "model": empty,
    }
    shell |= {part: spec.get(part) for part in ("normalizer", "pre_tokenizer", "decoder")}
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(shell))
    bytes_used = "ByteLevel" in json.dumps(spec.get("pre_tokenizer"))
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet() if bytes_used else []
    special = ["<unk>"] + [f"<0x{b:02X}>" for b in range(byte_count)] if not bytes_used else []
    affixes = {key: options[key] for key in ("end_of_word_suffix", "continuing_subword_prefix") if key in options}
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=1200,
        special_tokens=special,
        initial_alphabet=alphabet,
        show_progress=False,
        max_token_length=16,
        **affixes,
    )
    tokenizer.train_from_iterator(texts, trainer)
    made = json.loads(tokenizer.to_str())
    model = made["model"] | options
    if drop:
        gone = {t for t in model["vocab"] if any(c in t for c in drop) and not t.startswith("<")}
        kept = [t for t in sorted(model["vocab"], key=model["vocab"].get) if t not in gone]
        model["vocab"] = {t: i for i, t in enumerate(kept)}
        model["merges"] = [
            m for m in model["merges"] if m[0] not in gone and m[1] not in gone and m[0] + m[1] not in gone
        ]
    tokens = []
    for token in spec.get("added_tokens", []):
        tokens.append(
            token
            | {
                "id": model["vocab"].get(
                    token["content"], len(model["vocab"]) + sum(t["content"] not in model["vocab"] for t in tokens)
                )
            }
        )
    return made | {"model": model, "added_tokens": tokens, "post_processor": spec.get("post_processor")}


def compare_variants(library, megabytes, seed):
    rng = random.Random(seed)
    texts = [mixed_document(rng, 2000) for _ in range(20)] + list(corpus(0.3, seed))[:10]
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, spec in variants():
            path = Path(folder) / "tokenizer.json"
            path.write_text(json.dumps(train(spec, texts)))
            failures += compare(library, name, path, megabytes, seed, edges=False)
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", default=ROOT / "build/release/liballoy.so")
    parser.add_argument("--megabytes", type=float, default=6, help="of text for each tokenizer")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-variants", action="store_true", help="only tokenizers from files")
    parser.add_argument("folders", nargs="*", type=Path)
    options = parser.parse_args()
    library = Library(str(options.library))
    folders = options.folders or sorted(path.parent for path in (ROOT / "build/tokenizers").glob("*/tokenizer.json"))
    failures = sum(
        compare(library, folder.name, folder / "tokenizer.json", options.megabytes, options.seed) for folder in folders
    )
    if not options.no_variants:
        failures += compare_variants(library, 0.15, options.seed)
    print(f"tokenizer_equality: {failures} differences")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
