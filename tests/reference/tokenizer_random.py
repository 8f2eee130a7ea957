"""Random tokenizer.json files out of all components that Alloy reads, and random texts that lie near their edges.

Everything follows from a random.Random, so that a seed names a file and its texts.
"""

import json

import tokenizers
from tokenizer_corpus import CONTRACTIONS, EMOJI, SPACES, any_character
from tokenizer_variants import KIMI, MARK, QWEN, QWEN_3_5, added, byte_level, sequence

LETTERS = [
    *"abcdefhilorstuxABCXY",
    "é",
    "É",
    "e\u0301",
    "ß",
    "ſ",
    "K",
    "İ",
    "Σ",
    "ς",
    "ǆ",
    "ﬁ",
    "à",
    "\u0301",
    "\u0327",
]
LETTERS += [
    "漢",
    "字",
    "ア",
    "ｱ",
    "\u3099",
    "한",
    "\u1100",
    "\u1161",
    "\u11a8",
    "ا",
    "\u0651",
    "ก",
    "\u0e33",
    "अ",
    "\u094d",
]
SIGNS = [
    *"0123456789.,!?'-_#<>/|[]",
    "١",
    "²",
    "Ⅷ",
    "…",
    "«",
    "、",
    "€",
    MARK,
    "Ġ",
    "Ċ",
    "\u200d",
    "\ufe0f",
    "\u200c",
    "\x00",
]
SIGNS += ["\x1f", "\x7f", "\xad", "\ufffd", "\ue000", "\U0001f600", "\U00020000", "\U000e0001", "\U0010ffff"]
WORDS = [
    "<s>",
    "</s>",
    "<unk>",
    "<0x41>",
    "<0xC3>",
    "<0xA9>",
    "<0xe2>",
    "<0x0>",
    "<mask>",
    "[INST]",
    "hel",
    "hello",
    "lo",
    "ab",
]
WORDS += ["abc", "b c", "##a", "a</w>", "th", "the", "The", "THE", "12", "1 2", "a_b", "ÅB", "a\u030a", "i\u0307"]
BYTES = tokenizers.pre_tokenizers.ByteLevel.alphabet()
TO_BYTE = dict(zip(sorted(c for c in BYTES if ord(c) >= 256), [*range(33), *range(127, 161), 173]))
TO_BYTE |= {c: ord(c) for c in BYTES if ord(c) < 256}
REGEXES = [
    r"\s",
    r"\s+",
    r"\p{N}+",
    r"\p{N}{1,3}",
    r"[^\p{L}]*",
    r"\w+",
    r"\b\w",
    r"^.|.$",
    r"[[:punct:]]|\h{2}",
    r"a|ab",
    r"ab|a",
]
REGEXES += [
    r"\p{Lu}\p{Ll}*",
    r"\s+(?!\S)|\s+",
    r"(?i:the|ab)",
    r"x*",
    r".",
    r"[a-c]+?",
    r"\S+(?=\s)",
    r"\p{M}",
    r"\d",
    r" {2,}",
]
REGEXES += [QWEN, QWEN_3_5, KIMI, r"[^\r\n\p{L}\p{N}]?\p{L}+| ?\p{N}+", r"(?:a|b)*c", r"\p{Han}|\p{Hiragana}", r"\n|$"]
ESCAPES = [
    r"\s",
    r"\S",
    r"\w",
    r"\W",
    r"\d",
    r"\D",
    r"\h",
    r"\p{L}",
    r"\p{N}",
    r"\P{L}",
    r"\p{Lu}",
    r"\p{^M}",
    r"\p{M}",
    r"\p{P}",
    r"\p{Zs}",
]
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


class NoAnswer:
    """The library ended a call with a panic, or Alloy with LIMIT: nothing to be equal to."""

    def __eq__(self, other):
        return True


def asked(call, *arguments, **options):
    """The library's answer. Its panics are no Exceptions."""
    try:
        return call(*arguments, **options)
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        return NoAnswer()


def maybe(rng, share=0.5):
    return rng.random() < share


def fragment(rng, most=3):
    """A short text: letters, signs, spaces and words."""
    pools = [LETTERS, LETTERS, SIGNS, SPACES, WORDS]
    return "".join(rng.choice(rng.choice(pools)) for _ in range(rng.randint(1, most)))


def character_class(rng, depth=0):
    members = []
    for _ in range(rng.randint(1, 3)):
        kind = rng.random()
        if kind < 0.4:
            members.append(
                rng.choice([*"abchlotAB 1,.'_<>", "é", "É", MARK, "漢", r"\n", r"\t", r"\u0301", r"\x{1F600}"])
            )
        elif kind < 0.6:
            members.append(rng.choice(["a-c", "A-Z", "0-9", "à-ÿ", " -~", r"\x{300}-\x{36F}", "一-龥"]))
        elif kind < 0.9 or depth > 1:
            members.append(rng.choice([*ESCAPES, r"[:punct:]", r"[:space:]", r"[:^digit:]"]))
        else:
            members.append(rng.choice(["", "&&"]) + character_class(rng, depth + 1))
    return "[" + rng.choice(["", "", "^"]) + "".join(members).removeprefix("&&") + "]"


def regex_item(rng, depth):
    kind = rng.random()
    if kind < 0.35:
        return rng.choice([*"abchlo 1,'<", "é", MARK, "漢", r"\.", r"\n", "ab", "the"])
    if kind < 0.5:
        return rng.choice(ESCAPES)
    if kind < 0.65:
        return character_class(rng)
    if kind < 0.7:
        return "."
    if kind < 0.8 or depth > 2:
        return rng.choice(["^", "$", r"\b", r"\B", r"\A", r"\z", r"\Z"])
    opens = rng.choice(["(", "(?:", "(?:", "(?>", "(?=", "(?!", "(?<=", "(?<!", "(?i:"])
    inner = rng.choice("abc xé,") if "<" in opens else random_regex(rng, depth + 1)
    return opens + inner + ")"


def random_regex(rng, depth=0):
    """Some of them neither library reads."""
    branches = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        items = []
        for _ in range(rng.choice([1, 1, 2, 3])):
            item = regex_item(rng, depth)
            plain = (
                item[0] not in "^$"
                and item not in (r"\b", r"\B", r"\A", r"\z", r"\Z")
                and item[:3] not in ("(?=", "(?!", "(?<")
            )
            quantifiers = [
                "",
                "",
                "",
                "*",
                "+",
                "?",
                "{2}",
                "{1,3}",
                "{2,}",
                "*?",
                "+?",
                "??",
                "{1,2}?",
                "*+",
                "++",
                "?+",
            ]
            items.append(item + (rng.choice(quantifiers) if plain else ""))
        branches.append("".join(items))
    return "|".join(branches)


def is_regex(text):
    try:
        tokenizers.Regex(text)
    except Exception:
        return False
    return True


def pattern(rng):
    if maybe(rng, 0.4):
        return {"String": rng.choice([" ", MARK, "a", "ab", "  ", "\n", "é", "<", "aa", fragment(rng, 2)])}
    if maybe(rng):
        return {"Regex": rng.choice(REGEXES)}
    regex = random_regex(rng)
    while not is_regex(regex) and maybe(rng, 0.97):
        regex = random_regex(rng)
    return {"Regex": regex}


# ---- Parts -----------------------------------------------------------------------------------------------------------


def normalizer(rng):
    kind = rng.choice(["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "Replace", "Replace", "Prepend"])
    if kind == "Strip":
        return {"type": kind, "strip_left": maybe(rng), "strip_right": maybe(rng)}
    if kind == "Replace":
        return {
            "type": kind,
            "pattern": pattern(rng),
            "content": rng.choice(["", "", " ", MARK, "a", "xyz", "É", fragment(rng)]),
        }
    if kind == "Prepend":
        return {"type": kind, "prepend": rng.choice([MARK, " ", "a", "ab"])}
    return {"type": kind}


def pretokenizer(rng):
    kind = rng.choice(
        ["Split", "Split", "ByteLevel", "Metaspace", "Digits", "Punctuation", "FixedLength", "WhitespaceSplit"]
    )
    if kind == "Split":
        return {"type": kind, "pattern": pattern(rng), "behavior": rng.choice(BEHAVIORS), "invert": maybe(rng, 0.3)}
    if kind == "ByteLevel":
        return byte_level(maybe(rng), maybe(rng, 0.3))
    if kind == "Metaspace":
        return random_metaspace(rng)
    if kind == "Digits":
        return {"type": kind, "individual_digits": maybe(rng)}
    if kind == "Punctuation":
        return {"type": kind, "behavior": rng.choice(BEHAVIORS)}
    return {"type": kind, "length": rng.randint(1, 5)} if kind == "FixedLength" else {"type": kind}


def random_metaspace(rng):
    part = {"type": "Metaspace", "replacement": rng.choice([MARK, MARK, MARK, "_", " ", "a", "é"])}
    if maybe(rng, 0.2):
        flag = maybe(rng)
        return part | {"add_prefix_space": flag, **({} if flag else {"prepend_scheme": "never"})}
    if maybe(rng, 0.1):
        return part
    return part | {"prepend_scheme": rng.choice(["always", "first", "never"]), "split": maybe(rng)}


def decoder(rng):
    kind = rng.choice(["ByteLevel", "ByteFallback", "Fuse", "Strip", "Replace", "Replace", "Metaspace"])
    if kind == "Strip":
        return {
            "type": kind,
            "content": rng.choice([" ", "a", MARK, "é"]),
            "start": rng.randint(0, 2),
            "stop": rng.randint(0, 2),
        }
    if kind == "Replace":
        return {"type": kind, "pattern": pattern(rng), "content": rng.choice(["", " ", "a", "ab", fragment(rng)])}
    if kind == "Metaspace":
        return random_metaspace(rng)
    return byte_level() if kind == "ByteLevel" else {"type": kind}


def chain(rng, make, key, most):
    """None, one component, or a Sequence of some."""
    count = rng.choice([0, 1, 1, *range(most + 1)])
    if count == 0:
        return None if maybe(rng, 0.8) else sequence(key)
    items = [make(rng) for _ in range(count)]
    if count > 2 and maybe(rng, 0.2):
        items = [sequence(key, *items[:2]), *items[2:]]
    return items[0] if count == 1 and maybe(rng, 0.7) else sequence(key, *items)


def post_processor(rng, vocabulary):
    if maybe(rng, 0.4):
        return None
    names = rng.sample(sorted(vocabulary), min(3, len(vocabulary)))
    special = {name: {"id": name, "ids": [vocabulary[name]] * rng.randint(1, 2), "tokens": [name]} for name in names}
    special = {name: part | {"tokens": [name] * len(part["ids"])} for name, part in special.items()}
    text = [{"Sequence": {"id": "A", "type_id": 0}}]
    around = [
        [{"SpecialToken": {"id": rng.choice(names), "type_id": 0}} for _ in range(rng.randint(0, 2))] for _ in range(2)
    ]
    pair = [*text, {"Sequence": {"id": "B", "type_id": 1}}]
    template = {
        "type": "TemplateProcessing",
        "single": around[0] + text + around[1],
        "pair": pair,
        "special_tokens": special,
    }
    return rng.choice([template, template, sequence("processors", byte_level(), template), byte_level()])


# ---- The model -------------------------------------------------------------------------------------------------------


def vocabulary_of(rng, bytes_used, prefix, suffix):
    """Tokens and merges: an alphabet, and random joins of what is there already."""
    alphabet = (
        list(BYTES)
        if bytes_used
        else [c for c in dict.fromkeys("".join(LETTERS + SIGNS + [" ", "\n"])) if maybe(rng, 0.8)]
    )
    if bytes_used and maybe(rng, 0.2):
        alphabet = [c for c in alphabet if maybe(rng, 0.9)]
    firsts, others = list(alphabet), [prefix + c for c in alphabet]
    tokens = dict.fromkeys(firsts + others)
    if suffix:
        tokens |= dict.fromkeys([t + suffix for t in tokens])
    tokens = list(tokens)
    common = [t for t in tokens if any(c in t for c in "abcelhot1 é" + MARK + "ĠÃ©Ċ")] or tokens
    merges, known = [], dict.fromkeys(tokens)
    for _ in range(rng.choice([0, 10, 60, 150])):
        left, right = rng.choice(common), rng.choice(common)
        if not right.startswith(prefix) or len(right) == len(prefix) or (suffix and left.endswith(suffix)):
            continue
        joined = left + right[len(prefix) :]
        if (left, right) in merges or joined in (left, right):
            continue
        merges.append((left, right))
        if joined not in known:
            known[joined] = None
            common.append(joined)
    return list(known), merges


def model(rng, bytes_used):
    prefix = rng.choice(["##", "a", MARK]) if maybe(rng, 0.12) else ""
    suffix = rng.choice(["</w>", "b"]) if maybe(rng, 0.12) else ""
    tokens, merges = vocabulary_of(rng, bytes_used, prefix, suffix)
    byte_fallback = maybe(rng, 0.4)
    extra = [f"<0x{b:02X}>" for b in range(256) if maybe(rng, 0.9)] if byte_fallback and maybe(rng, 0.4) else []
    if byte_fallback and not extra:
        extra = [f"<0x{b:02X}>" for b in range(256)]
    unknown = rng.choice(["<unk>", "a", tokens[0]]) if maybe(rng) else None
    extra += [w for w in ["<unk>", "<s>", "hello", *WORDS] if maybe(rng, 0.3)] + ([unknown] if unknown else [])
    tokens = list(dict.fromkeys([*tokens, *extra]))
    if maybe(rng):
        rng.shuffle(tokens)
    spread = 7 if maybe(rng, 0.06) else 0  # ids that nobody has
    ids, at = {}, 0
    for token in tokens:
        ids[token] = at
        at += 1 + (rng.randint(0, spread) if maybe(rng, 0.1) else 0)
    return {
        "type": "BPE",
        "dropout": rng.choice([None, None, 0.0]),
        "unk_token": unknown,
        "continuing_subword_prefix": prefix or rng.choice([None, None, ""]),
        "end_of_word_suffix": suffix or rng.choice([None, None, ""]),
        "fuse_unk": maybe(rng),
        "byte_fallback": byte_fallback,
        "ignore_merges": maybe(rng, 0.3),
        "vocab": ids,
        "merges": [" ".join(m) for m in merges] if maybe(rng, 0.3) and not any(" " in t for t in tokens) else merges,
    }


# ---- Added tokens ----------------------------------------------------------------------------------------------------


def added_contents(rng, vocabulary):
    """Texts that overlap, begin each other, are white space, are the model's, or change when they are normalized."""
    contents = []
    for _ in range(rng.choice([0, 1, 2, 3, 5, 8, 12, 40])):
        kind = rng.random()
        if kind < 0.2:
            contents.append(rng.choice(SPACES) * rng.randint(1, 2))
        elif kind < 0.3:
            contents.append(rng.choice(sorted(vocabulary)))
        elif kind < 0.55 and contents:
            base = rng.choice(contents)
            contents.append(
                rng.choice(
                    [base[:-1], base[1:], base + base, base + fragment(rng, 1), " " + base, base.upper(), base.lower()]
                )
            )
        else:
            contents.append(fragment(rng))
    return [c for c in dict.fromkeys(contents) if c]


def normalized_text(part, text):
    if part is None:
        return text
    shell = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": part,
        "pre_tokenizer": None,
    }
    shell |= {"post_processor": None, "decoder": None, "model": {"type": "BPE", "vocab": {}, "merges": []}}
    try:
        return asked(tokenizers.Tokenizer.from_str(json.dumps(shell)).normalizer.normalize_str, text)
    except Exception:  # a pattern that is no regular expression
        return NoAnswer()


def added_tokens(rng, vocabulary, normalizer_part):
    """In the library chance decides between two that normalize to one text (the order of a hash table), so one of them is
    left out; and so is one of which nothing is left, which Alloy refuses."""
    tokens, looked_for, fresh = [], set(), len(vocabulary)
    for content in added_contents(rng, vocabulary):
        token = added(
            content, **{flag: maybe(rng, 0.35) for flag in ("single_word", "lstrip", "rstrip", "normalized", "special")}
        )
        if token["normalized"]:
            text = normalized_text(normalizer_part, content)
            if isinstance(text, NoAnswer) or text in looked_for or not text:
                continue
            looked_for.add(text)
        known = vocabulary.get(content)
        tokens.append(token | {"id": fresh if known is None else known})
        fresh += known is None
    return tokens


# ---- Files and texts -------------------------------------------------------------------------------------------------


def components(part):
    """All the dictionaries in a part."""
    if isinstance(part, dict):
        yield part
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from components(inner)


def without_a_field(rng, file):
    """A field is missing: both have the same value for it, or the library refuses."""
    part = rng.choice(
        [file[key] for key in ("normalizer", "pre_tokenizer", "decoder", "added_tokens") if file[key]] or [file]
    )
    component = rng.choice(list(components(part)))
    del component[rng.choice(list(component))]
    return file


def tokenizer_file(rng):
    file = whole_file(rng)
    return without_a_field(rng, file) if maybe(rng, 0.04) else file


def whole_file(rng):
    pretokenizer_part = chain(rng, pretokenizer, "pretokenizers", 4)
    normalizer_part = chain(rng, normalizer, "normalizers", 4)
    bytes_used = "ByteLevel" in json.dumps(pretokenizer_part)
    model_part = model(rng, bytes_used if maybe(rng, 0.95) else not bytes_used)
    tokens = added_tokens(rng, model_part["vocab"], normalizer_part)
    known = model_part["vocab"] | {token["content"]: token["id"] for token in tokens}
    if maybe(rng, 0.05):  # ids of nobody: both count for themselves
        tokens = [t if t["content"] in model_part["vocab"] else t | {"id": t["id"] + 3000} for t in tokens]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": tokens,
        "normalizer": normalizer_part,
        "pre_tokenizer": pretokenizer_part,
        "post_processor": post_processor(rng, known),
        "decoder": chain(rng, decoder, "decoders", 4),
        "model": model_part,
    }


def as_text(token):
    """What a token spells, where it is of byte characters."""
    if all(c in TO_BYTE for c in token) and not token.isascii():
        return bytes(TO_BYTE[c] for c in token).decode(errors="ignore")
    return token


def text_near(rng, file):
    """Added tokens, parts of them and their neighbours, white space, and characters of all kinds."""
    contents = [token["content"] for token in file.get("added_tokens") or [] if token.get("content")]
    parts = []
    for _ in range(rng.choice([0, 1, 2, 3, 4, 6, 10, 20, 40])):
        kind = rng.random()
        if kind < 0.35 and contents:
            content = rng.choice(contents)
            cut = rng.randint(0, len(content))
            parts.append(
                rng.choice([content, content, content, content[:cut], content[cut:], content.upper(), content.lower()])
            )
        elif kind < 0.5:
            parts.append(rng.choice(SPACES) * rng.choice([1, 1, 1, 2, 3]))
        elif kind < 0.55:
            parts.append(any_character(rng))
        elif kind < 0.75:
            parts.append(as_text(rng.choice(rng.choice(file["model"]["merges"] or [["a"]]))))
        elif kind < 0.8:
            parts.append(rng.choice(EMOJI + CONTRACTIONS))
        elif kind < 0.82:
            parts.append(rng.choice(LETTERS + SIGNS) * rng.choice([2, 3, 9, 70]))
        else:
            parts.append(fragment(rng))
    if maybe(rng, 0.05):
        parts *= rng.randint(2, 30)
    return "".join(parts)


def ids_near(rng, file):
    """Ids that no text gives: bytes, added tokens, ids that nobody has."""
    vocabulary = file["model"]["vocab"]
    small = [i for t, i in vocabulary.items() if t.startswith("<0x")] + [
        token["id"] for token in file["added_tokens"]
    ] * 4
    top = max([0, *vocabulary.values()]) + len(file["added_tokens"]) + 2
    pick = lambda: rng.choice(small) if small and maybe(rng) else rng.randrange(top)
    return [pick() for _ in range(rng.randint(0, 12))]
