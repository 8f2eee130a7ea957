"""Small tokenizers that between them have every component: specifications, and files trained from them."""

import json

import tokenizers

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
