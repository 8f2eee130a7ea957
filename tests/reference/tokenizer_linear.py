"""Does every text take linear time? (T17 of the hostile inputs)

    python tokenizer_linear.py [--library build/release/liballoy.so] [FOLDER...]

Prints for each tokenizer the nanoseconds of processor time that a byte takes: of prose and code, of text in many scripts, and of 16 MiB of one
thing over and over. (Prose is faster than all: most of its words are in the encoder's cache.) T17 allows one thing over and over twice the
time of text in many scripts, which is to be read from the table: on a machine that others share, no test can judge so finely. This one
ends with 1 when a byte takes 20 times as long; time that grows with the square of the length would take thousands.
"""

import argparse
import random
import sys
import time
from pathlib import Path

from alloy_tokenizer import Ids, Library
from tokenizer_corpus import mixed_document, real_texts

ROOT = Path(__file__).resolve().parents[2]
SIZE = 16 << 20
DOCUMENT = 20000
TURNS = 2
LARGEST_SHARE = 20  # ten times what T17 allows
TEXT = 2e6  # bytes
RUNS = {"letter": "a", "spaces": " ", "marks": "\u0301", "joiners": "\U0001f469\u200d", "lines": "\n", "digits": "1"}


def documents(texts, size):
    pieces = []
    for text in texts:
        pieces += [text[i : i + DOCUMENT].encode() for i in range(0, len(text), DOCUMENT)]
        if sum(map(len, pieces)) > size:
            break
    return pieces


def nanoseconds(library, tokenizer, texts):
    """A byte's, in the fastest of some turns: others work on the machine too."""
    fastest = float("inf")
    for _ in range(TURNS):
        spent = 0
        for text in texts:
            ids = Ids()
            start = time.process_time()
            tokenizer.encode_only(text, 0, ids)
            spent += time.process_time() - start
            library.lib.alloy_ids_free(ids)
        fastest = min(fastest, spent)
    return fastest / sum(map(len, texts)) * 1e9


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", default=ROOT / "build/release/liballoy.so")
    parser.add_argument("folders", nargs="*", type=Path)
    options = parser.parse_args()
    library = Library(str(options.library))
    folders = options.folders or sorted(path.parent for path in (ROOT / "build/tokenizers").glob("*/tokenizer.json"))
    if not folders:
        parser.error("no tokenizers in build/tokenizers: script/tokenizers makes them")
    rng = random.Random(1)
    prose = documents(real_texts(), TEXT)
    mixed = documents((mixed_document(rng, DOCUMENT) for _ in iter(int, 1)), TEXT)
    failures = 0
    print("nanoseconds a byte\n" + f"{'':<14}" + "".join(f"{name:>10}" for name in ("prose", "mixed", *RUNS)))
    for folder in folders:
        tokenizer = library.open(folder / "tokenizer.json")
        normal = nanoseconds(library, tokenizer, mixed)
        line = f"{folder.name:<14}{nanoseconds(library, tokenizer, prose):10.1f}{normal:10.1f}"
        for unit in RUNS.values():
            taken = nanoseconds(library, tokenizer, [unit.encode() * (SIZE // len(unit.encode()))])
            failures += taken > LARGEST_SHARE * normal
            line += f"{taken:10.1f}"
        print(line, flush=True)
        tokenizer.close()
    print(f"tokenizer_linear: {SIZE >> 20} MiB each, {failures} too slow")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
