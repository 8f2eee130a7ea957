"""How fast are texts encoded and vocabularies opened, beside the `tokenizers` library on one thread?

    build/venv/bin/python bench/tokenizer.py [--library build/release/liballoy.so] [--megabytes 2] [--runs 5] [FOLDER...]

Medians of several runs, the two sides by turns; each encodes into ids and is given the text as it wants it (bytes, str). The first column
is Moby-Dick (plain English), the second a mix of scripts, code and noise, which no cache of words helps with.
"""

import argparse
import glob
import os
import statistics
import sys
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/reference"))

import tokenizers
from alloy_tokenizer import Ids, Library
from tokenizer_corpus import corpus


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def by_turns(runs, ours, theirs):
    """Medians of both, run by turns so that a busy machine slows both."""
    times = [(seconds(ours), seconds(theirs)) for _ in range(runs)]
    return statistics.median(t[0] for t in times), statistics.median(t[1] for t in times)


def prose():
    paths = sorted(glob.glob(str(ROOT / "build/cache/moby/**/data/*.txt"), recursive=True))
    text = "".join(Path(path).read_text() for path in paths)
    return [text[i : i + 20000] for i in range(0, len(text), 20000)]


def mixed(megabytes):
    return [text[i : i + 20000] for text in corpus(megabytes, 1) for i in range(0, len(text), 20000)]


def encode_times(library, alloy, theirs, texts, runs):
    data = [text.encode() for text in texts]

    def encode_ours():
        for piece in data:
            ids = Ids()
            alloy.encode_only(piece, 1, ids)
            library.lib.alloy_ids_free(ids)

    def encode_theirs():
        for text in texts:
            theirs.encode(text)

    ours, other = by_turns(runs, encode_ours, encode_theirs)
    size = sum(map(len, data)) / 1e6
    return size / ours, size / other


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", default=ROOT / "build/release/liballoy.so")
    parser.add_argument("--megabytes", type=float, default=2, help="of mixed text")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("folders", nargs="*", type=Path)
    options = parser.parse_args()
    library = Library(str(options.library))
    texts = {"prose": prose(), "mixed": mixed(options.megabytes)}
    folders = options.folders or sorted(path.parent for path in (ROOT / "build/tokenizers").glob("*/tokenizer.json"))
    print(f"{'':<14}{'open, s':>24}" + "".join(f"{name + ', MB/s':>26}" for name in texts))
    print(
        f"{'':<14}" + f"{'alloy':>8}{'theirs':>9}{'share':>7}" + f"{'alloy':>10}{'theirs':>9}{'ratio':>7}" * len(texts)
    )
    for folder in folders:
        path = str(folder / "tokenizer.json")
        opened, theirs_opened = by_turns(
            options.runs, lambda: library.open(path).close(), lambda: tokenizers.Tokenizer.from_file(path)
        )
        line = f"{folder.name:<14}{opened:8.3f}{theirs_opened:9.3f}{opened / theirs_opened:7.2f}"
        alloy, theirs = library.open(path), tokenizers.Tokenizer.from_file(path)
        for pieces in texts.values():
            ours, other = encode_times(library, alloy, theirs, pieces, options.runs)
            line += f"{ours:10.1f}{other:9.2f}{ours / other:7.1f}"
        alloy.close()
        print(line, flush=True)


if __name__ == "__main__":
    main()
