"""T1 to T21: tokenizer.json, as a file and in a model's folder, on every command that opens one."""

import json

from attack import GOLDEN, RAW, Row, copied, dumps, file
from commands import OF_TOKENIZER, WITHOUT_TOKENIZER

QWEN3 = GOLDEN / "qwen3"
NAME = "tokenizer.json"

VOCABULARY = {
    "<unk>": 0,
    **{chr(ord("a") + i): i + 1 for i in range(26)},
    " ": 27,
    "te": 28,
    "ex": 29,
    "text": 30,
    "xt": 31,
}
MERGES = ["t e", "x t", "te xt"]


def bpe(**more):
    return {"type": "BPE", "unk_token": "<unk>", "vocab": VOCABULARY, "merges": MERGES, **more}


def tokenizer(**parts):
    return dumps({"version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
                  "post_processor": None, "decoder": None, "model": bpe(), **parts})  # fmt: skip


def lines(target):
    (target.parent / "lines.jsonl").write_text('{"text": "text"}\n')
    return {"lines": target.parent / "lines.jsonl"}


SOUND = copied(QWEN3, file(NAME, tokenizer()), lines)


def row(id_, what, content, says, status="FORMAT", commands=OF_TOKENIZER, **more):
    return Row(id_, what, copied(QWEN3, file(NAME, content), lines), commands, status, says, good=SOUND, **more)


def part(id_, what, says, status="FORMAT", commands=OF_TOKENIZER, extra=None, **parts):
    return row(id_, what, tokenizer(**parts), says, status, commands, **(extra or {}))


def vocabulary(text):
    return {"type": "BPE", "vocab": RAW(text), "merges": []}


def added(id_, content, **more):
    return {"id": id_, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": False, **more}  # fmt: skip


# more tokens than the model's embedding has rows
MANY = {**VOCABULARY, **{f"filler{i}": i for i in range(len(VOCABULARY), 256)}, "z far": 256}
FAR = tokenizer(model=bpe(vocab=MANY), added_tokens=[added(256, "z far")])


def split(regex, behavior="Isolated"):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": False}


def replace(pattern, content):
    return {"type": "Replace", "pattern": {"String": pattern}, "content": content}


def sequence(items, kind="normalizers"):
    return {"type": "Sequence", kind: items}


def template(single, special_tokens=None):
    return {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": special_tokens or {}}


A = {"Sequence": {"id": "A", "type_id": 0}}


def special(name):
    return {"SpecialToken": {"id": name, "type_id": 0}}


def text_of(size, unit):
    """An edit: {text}, a file of `size` bytes of one piece of text, written bit by bit."""

    def edit(target):
        path = target.parent / "text"
        block = unit.encode() * (65536 // len(unit.encode()))
        with open(path, "wb") as out:
            for _ in range(size // len(block)):
                out.write(block)
        return {"text": path}

    return edit


def on_text(id_, what, size, unit, status, says, commands=("tokenize {model} -f {text}",), measured=None, **parts):
    """A tokenizer.json on a text; what the same text takes without the parts is what it is measured by."""
    extra = {"pre_tokenizer": split("[a-z]+|[^a-z]+")} if measured is None else measured
    good = copied(QWEN3, file(NAME, tokenizer(**extra)), text_of(size, "text tex "))
    make = copied(QWEN3, file(NAME, tokenizer(**parts)), text_of(size, unit))
    return Row(id_, what, make, commands, status, says, good=good, json=False)


def merges(count):
    """An edit: a tokenizer.json of so many merges, more than its vocabulary can have."""

    def edit(target):
        with open(target / NAME, "w") as out:
            head, tail = tokenizer(model=bpe(merges=RAW("[%]"))).split("%")
            out.write(head + '"t e"')
            for _ in range(count // 1000):
                out.write(',"t e"' * 1000)
            out.write(tail)

    return edit


MIB = 1 << 20
CHAIN = [replace("a", "aa")] * 64
ENCODES = ("tokenize {model} aaaa", "tokenize {model}/tokenizer.json a", "generate {model} -p a -n 2")
DECODES = ("detokenize {model} 1", "generate {model} -p text -n 2")


ROWS = [
    row("T1", "empty", "", NAME),
    row("T1", "not a tokenizer", "{}", (NAME, "model")),
    row("T1", "truncated", lambda: tokenizer()[:-30], NAME + r":\d+:\d+:"),
    part("T1", "id -1", (NAME, '"a"', "-1"), model=vocabulary('{"a": -1}')),
    part("T1", "id 2^32", ('"a"', "4294967296"), model=vocabulary('{"a": 4294967296}')),
    part("T1", "id 4294967295", ('"a"', "4294967295"), model=vocabulary('{"a": 4294967295}')),
    part("T1", "id 0.5", NAME, model=vocabulary('{"a": 0.5}')),
    part("T1", "an added token of id -1", ("<x>", "-1"), added_tokens=[added(-1, "<x>")]),
    part("T2", "two tokens of one id", ('"a"', '"b"', "same id 7"), model=vocabulary('{"a": 7, "b": 7}')),
    part("T2", "a token twice", '"a"', model=vocabulary('{"a": 0, "a": 1}')),
    part("T2", "two added tokens of one id", "same id 40", added_tokens=[added(40, "<x>"), added(40, "<y>")]),
    part("T3", "a gap of a billion", ('"b"', "1000000000"), model=vocabulary('{"a": 0, "b": 1000000000}')),
    part("T3", "an added token far away", "<x>", added_tokens=[added(10**9, "<x>")]),
    Row("T4", "more ids than rows", copied(QWEN3, file(NAME, FAR), lines),
        ("generate {model} -p text -n 2", "generate {model} --ids 1,2 -n 2"), "OK",
        "warning: .*the tokenizer has 257 ids and the model 256", good=SOUND),
    Row("T4", "and one of them is fed", copied(QWEN3, file(NAME, FAR), lines),
        ("generate {model} -p \"z far\" -n 2", "generate {model} -p \"textz far\" -n 2 --no-mmap"), "RANGE",
        "the model knows 0 to 255", good=SOUND),
    part("T5", "an added token without text", ("added token", "empty"), added_tokens=[added(40, "")]),
    part("T6", "a merge of an unknown piece", ("merge 0", '"X"'), model=bpe(merges=["a X"])),
    part("T6", "a merge whose result is no token", ("merge 0", "no token"), model=bpe(merges=["a b"])),
    part("T6", "a merge of three", ("merge 0", "two parts"), model=bpe(merges=["a b c"])),
    part("T6", "a merge longer than any token", "longer than any token|no token", model=bpe(merges=["text text"])),
    Row("T7", "10,000,000 merges", copied(QWEN3, merges(10**7), lines), ("tokenize {model} text", "detokenize {model} 1"),
        "FORMAT", "more merges", good=SOUND),
    part("T8", "a merge that gives back one of its parts", "adds nothing|merge 0", model={
        "type": "BPE", "continuing_subword_prefix": "##", "vocab": {"a": 0, "##": 1}, "merges": ["a ##"]}),
    part("T9", "<0x-1>", ("<0x-1>", "byte"), model={"type": "BPE", "byte_fallback": True, "vocab": {"<0x-1>": 0},
                                                    "merges": []}),
    part("T9", "<0xZZ>", ("<0xZZ>", "byte"), model={"type": "BPE", "byte_fallback": True, "vocab": {"<0xZZ>": 0},
                                                    "merges": []}),
    part("T10", "(a+)+$ on many", "regular expression", "LIMIT",
         ("tokenize {model} " + "a" * 400 + "b", "generate {model} -n 1 -p " + "a" * 400 + "b"),
         pre_tokenizer=split("(a+)+$")),
    part("T11", "an unbalanced parenthesis", ("pre_tokenizer", r"\(a"), pre_tokenizer=split("(a")),
    part("T11", "an unbalanced bracket", "normalizer", normalizer={
        "type": "Replace", "pattern": {"Regex": "[a"}, "content": ""}),
    part("T12", "1,000 nested groups", "nested too deep", pre_tokenizer=split("(" * 1000 + "a" + ")" * 1000)),
    part("T12", "{65535}{65535}", "repeats", pre_tokenizer=split("((a{65535}){65535}){65535}")),
    part("T13", "(*NO_JIT)", "pre_tokenizer", pre_tokenizer=split("(*NO_JIT)a")),
    part("T13", r"\C", ("pre_tokenizer", "escape"), pre_tokenizer=split(r"\C")),
    part("T14", "a template with an unknown token", ("post_processor", "<s>"),
         post_processor=template([special("<s>"), A])),
    part("T14", "a template with an id that no token has", ("post_processor", "99"), post_processor=template(
        [special("<s>"), A], {"<s>": {"id": "<s>", "ids": [99], "tokens": ["<s>"]}})),
    part("T15", "Strip of 100,000", ("decoder", "Strip", "100000"),
         decoder={"type": "Strip", "content": " ", "start": 100000, "stop": 0}),
    part("T15", "a stride as long as the text", ("truncation", "stride"),
         truncation={"max_length": 4, "stride": 4, "strategy": "LongestFirst", "direction": "Right"}),
    part("T15", "FixedLength 0", ("FixedLength", "0"), pre_tokenizer={"type": "FixedLength", "length": 0}),
    part("T16", "a charsmap that is not base64", ("normalizer", "base64"),
         normalizer={"type": "Precompiled", "precompiled_charsmap": "?!"}),
    part("T16", "an unknown normalizer", ("normalizer", "Magic", "NFC"), normalizer={"type": "Magic"}),
    part("T16", "an unknown pre-tokenizer", ("pre_tokenizer", "Magic"), pre_tokenizer={"type": "Magic"}),
    part("T16", "an unknown post-processor", ("post_processor", "Magic"), post_processor={"type": "Magic"}),
    part("T16", "an unknown decoder", ("decoder", "Magic"), decoder={"type": "Magic"}),
    part("T16", "an unknown model", ("Unigram", "BPE"), model={"type": "Unigram", "vocab": [], "merges": []}),
    row("T16", "a bad tokenizer where none is needed", tokenizer(model={}), "", "OK", WITHOUT_TOKENIZER, writes=True),
    *[on_text("T17", f"4 MiB of {what}", 4 * MIB, unit, "OK", "", normalizer={"type": "NFC"},
              pre_tokenizer=split("[a-z]+|[^a-z]+"), measured=None)
      for what, unit in [("a letter", "a"), ("spaces", " "), ("combining marks", "\u0301"),
                         ("emoji with joiners", "\U0001f469\u200d"), ("newlines", "\n")]],
    Row("T17", "time is linear in the text", test="tokenizer_bad_input:t17_time_is_linear_in_any_text"),
    part("T18", "a normalizer that doubles 64 times", "", "FORMAT|LIMIT", ENCODES, normalizer=sequence(CHAIN)),
    part("T18", "a decoder that doubles 64 times", "", "FORMAT|LIMIT", DECODES, decoder=sequence(CHAIN, "decoders")),
    part("T18", "a normalizer that writes 27 MB for a letter", "", "FORMAT|LIMIT", ENCODES,
         normalizer=sequence([replace("a", "b" * 300), replace("b", "c" * 300), replace("c", "d" * 300)])),
    part("T19", "a template of 100,000 pieces", "", "FORMAT|LIMIT", OF_TOKENIZER,
         post_processor=RAW(json.dumps(template(["@"], {"<unk>": {"id": "<unk>", "ids": [0], "tokens": ["<unk>"]}}))
                            .replace('"@"', json.dumps(A) + ("," + json.dumps(special("<unk>"))) * 100000))),
    on_text("T20", "[^x]*x on 1 MiB", MIB, "a", "OK|LIMIT", "", pre_tokenizer=split("[^x]*x")),
    on_text("T20", "[^x]*x in a normalizer on 1 MiB", MIB, "a", "OK|LIMIT", "", normalizer={
        "type": "Replace", "pattern": {"Regex": "[^x]*x"}, "content": ""}),
    on_text("T21", "an added token of 4 kB that is nearly met at each byte", MIB, "a", "OK|LIMIT", "",
            added_tokens=[added(40, "a" * 4096 + "b")]),
]  # fmt: skip
