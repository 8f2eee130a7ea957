"""Random tokenizers and random texts: are the ids those of the `tokenizers` library, and the texts that ids decode to?

    python tokenizer_fuzz.py [--library build/release/liballoy.so] [--texts 20000] [--seed 1] [--show 10]

A file of tokenizer_random.py is opened by both. What only Alloy refuses is counted by reason; what only the library
refuses, and every difference, is printed with the smallest text that still shows it, and the script ends with 1.
"""

import argparse
import collections
import json
import os
import random
import re
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers
from alloy_tokenizer import AlloyError, Library
from tokenizer_equality import smallest_that_differs
from tokenizer_random import NoAnswer, asked, ids_near, text_near, tokenizer_file

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 4  # alloy_status
TEXTS = 60  # of one tokenizer
BATCH = 40  # tokenizers of one task


def silence():
    """The library's panics write pages to the standard error, by themselves."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def answered(call, *arguments):
    """Alloy's answer, or its error as text."""
    try:
        return call(*arguments)
    except AlloyError as error:
        return NoAnswer() if str(error).startswith(f"status {LIMIT}:") else str(error)


class Case:
    """One tokenizer, opened by both."""

    def __init__(self, library, file, path):
        path.write_text(json.dumps(file))
        self.file, self.theirs, self.ours, self.refusal = file, None, None, None
        try:
            self.theirs = asked(tokenizers.Tokenizer.from_str, json.dumps(file))
        except Exception as error:
            self.refusal = str(error)
        if isinstance(self.theirs, NoAnswer):
            self.theirs, self.refusal = None, "panic"
        try:
            self.ours = library.open(path)
        except AlloyError as error:
            self.said = str(error)

    def close(self):
        if self.ours:
            self.ours.close()

    def their_ids(self, text, special, as_text):
        self.theirs.encode_special_tokens = as_text
        answer = asked(self.theirs.encode, text, add_special_tokens=special)
        return answer if isinstance(answer, NoAnswer) else answer.ids

    def their_text(self, ids, skip):
        return asked(self.theirs.decode, ids, skip_special_tokens=skip)

    def our_ids(self, text, special, as_text):
        return answered(self.ours.encode, text, special, as_text)

    def our_text(self, ids, skip):
        return answered(self.ours.decode, ids, skip)

    def encoding(self, text, *options):
        """None, or the difference, shown by a small text."""
        differs = lambda part: self.their_ids(part, *options) != self.our_ids(part, *options)
        if not differs(text):
            return None
        text = smallest_that_differs(text, differs)
        return "encode", options, text, self.their_ids(text, *options), self.our_ids(text, *options)

    def decoding(self, ids, skip):
        differs = lambda part: self.their_text(part, skip) != self.our_text(part, skip)
        if differs(ids):
            ids = smallest_that_differs(ids, differs)
            return "decode", skip, ids, self.their_text(ids, skip), self.our_text(ids, skip)
        streamed = answered(lambda: "".join(self.ours.stream(ids, skip)))
        return (
            None if streamed == self.our_text(ids, skip) else ("stream", skip, ids, self.our_text(ids, skip), streamed)
        )

    def panics(self, text):
        return isinstance(self.their_ids(text, True, False), NoAnswer)

    def limits(self, text):
        return isinstance(self.our_ids(text, True, False), NoAnswer)


def shown(file, difference):
    """A difference, and of the file what is not the vocabulary."""
    parts = {key: file[key] for key in ("normalizer", "pre_tokenizer", "decoder") if file[key]}
    parts["model"] = {
        key: value for key, value in file["model"].items() if value and key not in ("type", "vocab", "merges")
    }
    keys = ("single_word", "lstrip", "rstrip", "normalized", "special")
    tokens = ", ".join(f"{t['content']!r} {t['id']} {' '.join(k for k in keys if t[k])}" for t in file["added_tokens"])
    what, options, question, theirs, ours = difference
    names = {i: t for t, i in file["model"]["vocab"].items()} | {t["id"]: t["content"] for t in file["added_tokens"]}
    named = [names.get(i) for i in question] if isinstance(question, list) else ""
    lines = [f"{what} {options} of {question!r} {named}", f"theirs {theirs!r}", f"ours   {ours!r}"]
    return "\n    ".join([*lines, json.dumps(parts, ensure_ascii=False), f"added: {tokens}"])


def reason(message):
    """An error without what differs from file to file."""
    message = re.sub(r'"[^"]*"|\d+', "*", message.split(": ", 1)[-1])
    return re.sub(r"\S*/\S*", "", message)[:110]


def check(case, rng, counts, differences):
    found = []
    for _ in range(TEXTS):
        text = text_near(rng, case.file)
        counts["texts"] += 1
        counts["library panics"] += case.panics(text)
        counts["limits"] += case.limits(text)
        found += [case.encoding(text, *options) for options in ((True, False), (False, False), (False, True))]
        ids = answered(case.ours.encode, text, True)
        for some in (ids if isinstance(ids, list) else [], ids_near(rng, case.file)):
            found += [case.decoding(some, skip) for skip in (True, False)]
    found = [difference for difference in found if difference]
    counts["differences"] += len(found)
    if found:
        differences.append(shown(case.file, min(found, key=lambda d: len(d[2]))))


def batch(library_path, seed):
    """-> (counts, refusals by reason, differences)"""
    library, counts, refused, differences = Library(library_path), collections.Counter(), collections.Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(BATCH):
            name = f"{seed}.{i}"
            rng = random.Random(name)
            case = Case(library, tokenizer_file(rng), Path(folder) / "tokenizer.json")
            counts["tokenizers"] += 1
            if case.theirs and case.ours:
                counts["compared"] += 1
                before = len(differences)
                check(case, rng, counts, differences)
                differences[before:] = [f"[{name}] {d}" for d in differences[before:]]
            elif case.ours and re.search("missing field|did not match any variant", case.refusal):
                counts["lenient"] += 1  # a field that is false or 0 when absent
            elif case.ours:
                counts["differences"] += 1
                differences.append(f"[{name}] the library does not open it: {case.refusal}")
            else:
                refused[reason(case.said)] += 1
            case.close()
    return counts, refused, differences


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", default=ROOT / "build/release/liballoy.so")
    parser.add_argument("--texts", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=10, help="differences to print, of as many tokenizers")
    options = parser.parse_args()
    counts, refused, differences = collections.Counter(), collections.Counter(), []
    with ProcessPoolExecutor(os.cpu_count(), initializer=silence) as pool:
        seeds = [f"{options.seed}.{i}" for i in range(max(1, options.texts // (BATCH * TEXTS)))]
        for some_counts, some_refused, some_differences in pool.map(batch, [str(options.library)] * len(seeds), seeds):
            counts += some_counts
            refused += some_refused
            differences += some_differences
    for difference in differences[: options.show]:
        print(difference)
    for text, count in refused.most_common():
        print(f"refused {count:5}: {text}")
    print(
        "tokenizer_fuzz:",
        ", ".join(
            f"{counts[key]} {key}"
            for key in ("tokenizers", "compared", "texts", "library panics", "limits", "differences")
        ),
    )
    return 1 if counts["differences"] else 0


if __name__ == "__main__":
    sys.exit(main())
