"""Are the ids equal to those of the `tokenizers` library, and the texts that they decode to?

    python tokenizer_equality.py [--library build/release/liballoy.so] [--megabytes 6] [--seed 1] [FOLDER...]

Each FOLDER holds a tokenizer.json; by default all of build/tokenizers, and small ones made on the fly that between them have every
component. Prints a line for each and ends with 1 when anything differs. What the library says is remembered
(tokenizer_answers.py); delete build/tokenizer-answers to ask it again.
"""

import argparse
import functools
import json
import os
import random
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from alloy_tokenizer import AlloyError, Library
from tokenizer_answers import Answers, trained
from tokenizer_corpus import corpus, edge_cases, mixed_document
from tokenizer_variants import train, variants

ROOT = Path(__file__).resolve().parents[2]
SHOWN = 8  # differences of a tokenizer


def first_difference(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def smallest_that_differs(text, differs):
    """A part of a text that still differs, and none of whose halves, ends and beginnings does."""
    while True:
        quarter = len(text) // 4
        parts = [
            text[: len(text) // 2],
            text[len(text) // 2 :],
            text[quarter : len(text) - quarter],
            text[1:],
            text[:-1],
        ]
        smaller = next((part for part in parts if len(part) < len(text) and differs(part)), None)
        if smaller is None:
            return text
        text = smaller


class Comparison:
    def __init__(self, library, path):
        listed = json.loads(path.read_text())["added_tokens"]
        self.special_ids = {token["id"] for token in listed if token["special"]}
        self.theirs = Answers(path)
        self.ours = library.open(path)
        self.texts = self.bytes = self.ids = 0
        self.failures = []

    def fail(self, what, text, theirs, ours):
        at = first_difference(theirs, ours)
        self.failures.append(
            f"{what}: at {at} of {len(theirs)}: theirs {theirs[at : at + 4]!r}, ours {ours[at : at + 4]!r}, text {text[:80]!r}"
        )

    def check_text(self, text):
        ours = self.ours.encode(text)
        self.texts += 1
        self.bytes += len(text.encode())
        self.ids += len(ours)
        if self.theirs.agree(ours, self.theirs.ids, text):
            self.check_decoding(text, ours)
            return
        text = smallest_that_differs(text, lambda part: self.theirs.ids(part) != self.ours.encode(part))
        self.fail("ids", text, self.theirs.ids(text), self.ours.encode(text))

    def check_decoding(self, text, ids):
        """With special tokens, and without them where there are any."""
        for skip in (True, False) if not self.special_ids.isdisjoint(ids) else (False,):
            ours = self.ours.decode(ids, skip)
            if not self.theirs.agree(ours, self.theirs.text, ids, skip):
                self.fail(f"decode, skip {skip}", text, self.theirs.text(ids, skip), ours)

    def check_random_ids(self, rng):
        """Ids that no text gives: broken characters, bytes and specials in any order."""
        size = self.ours.vocab_size()
        small = [i for i in (self.ours.id(f"<0x{b:02X}>") for b in range(256)) if i >= 0] or list(range(min(300, size)))
        for _ in range(300):
            ids = [rng.choice(small) if rng.random() < 0.5 else rng.randrange(size) for _ in range(rng.randint(1, 12))]
            self.check_decoding(str(ids), ids)
            whole = self.ours.decode(ids, False)
            streamed = "".join(self.ours.stream(ids, False))
            if whole != streamed:
                self.fail("stream", str(ids), whole, streamed)

    def check_special_as_text(self, texts):
        for text in texts:
            ours = self.ours.encode(text, special_as_text=True)
            if not self.theirs.agree(ours, self.theirs.ids, text, True):
                self.fail("special tokens as text", text, self.theirs.ids(text, True), ours)


def special_texts(path):
    tokens = [token["content"] for token in json.loads(path.read_text())["added_tokens"]]
    return tuple(tokens[:12] + tokens[-4:])


@functools.lru_cache(maxsize=2)
def documents(megabytes, seed, special):
    """The texts of a corpus, and smaller ones."""
    rng = random.Random(seed)
    return list(corpus(megabytes, seed, special)), [mixed_document(rng, 300, special) for _ in range(30)]


def compare(library, name, path, megabytes, seed, edges=True):
    """-> (differences, lines to print)"""
    special = special_texts(path)
    texts, small_texts = documents(megabytes, seed, special)
    try:
        comparison = Comparison(Library(library), path)
        for text in texts:
            comparison.check_text(text)
        for text in edge_cases(special) if edges else ():
            comparison.check_text(text)
        comparison.check_random_ids(random.Random(seed))
        comparison.check_special_as_text(small_texts)
    except AlloyError as error:
        return 1, [f"{name:<28} {error}"]
    comparison.theirs.save()
    c, failures = comparison, comparison.failures
    line = f"{name:<40} {c.bytes / 1e6:6.2f} MB {c.ids:9} ids {c.bytes / c.ids:5.2f} bytes/id {c.texts:5} texts: "
    return len(failures), [line + f"{len(failures)} differences", *("    " + failure for failure in failures[:SHOWN])]


@functools.lru_cache
def training_texts(seed):
    rng = random.Random(seed)
    return [mixed_document(rng, 2000) for _ in range(20)] + list(corpus(0.3, seed))[:10]


def compare_variant(library, name, specification, megabytes, seed):
    texts = training_texts(seed)
    path = trained((specification, texts), lambda: train(specification, texts))
    return compare(library, name, path, megabytes, seed, edges=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", default=ROOT / "build/release/liballoy.so")
    parser.add_argument("--megabytes", type=float, default=6, help="of text for each tokenizer")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-variants", action="store_true", help="only tokenizers from files")
    parser.add_argument("folders", nargs="*", type=Path)
    options = parser.parse_args()
    library = str(options.library)
    folders = options.folders or sorted(path.parent for path in (ROOT / "build/tokenizers").glob("*/tokenizer.json"))
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        jobs = [
            pool.submit(compare, library, folder.name, folder / "tokenizer.json", options.megabytes, options.seed)
            for folder in folders
        ]
        if not options.no_variants:
            jobs += [
                pool.submit(compare_variant, library, name, specification, 0.15, options.seed)
                for name, specification in variants()
            ]
        failures = 0
        for job in jobs:
            differences, lines = job.result()
            failures += differences
            print("\n".join(lines), flush=True)
    print(f"tokenizer_equality: {failures} differences")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
