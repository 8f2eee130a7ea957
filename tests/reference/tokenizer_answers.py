"""What the `tokenizers` library says of a tokenizer.json, remembered, since asking it takes most of the time of a comparison.

A folder (build/tokenizer-answers) holds for each pair of library version and tokenizer.json a digest of every question and of its
answer. An answer of Alloy that has another digest is asked for again, so that both can be shown.
"""

import functools
import hashlib
import json
from pathlib import Path

import tokenizers

FOLDER = Path(__file__).resolve().parents[2] / "build/tokenizer-answers"


def digest(*parts):
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def trained(specification, train):
    """The path of a tokenizer.json that `train` makes; made once for each specification, which holds all that it hangs on."""
    path = FOLDER / "trained" / f"{digest(tokenizers.__version__, specification)}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(train()))
    return path


class Answers:
    def __init__(self, path):
        self.source = path
        self.file = FOLDER / f"{digest(tokenizers.__version__, path.read_bytes())}.json"
        self.known = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.asked = 0

    @functools.cached_property
    def tokenizer(self):
        tokenizer = tokenizers.Tokenizer.from_file(str(self.source))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def ids(self, text, special_as_text=False):
        self.tokenizer.encode_special_tokens = special_as_text
        return self.tokenizer.encode(text).ids

    def text(self, ids, skip_special):
        return self.tokenizer.decode(ids, skip_special_tokens=skip_special)

    def agree(self, ours, ask, *question):
        """Is `ours` what the method `ask` says to the question?"""
        key = digest(ask.__name__, *question)
        if key not in self.known:
            self.known[key] = digest(ask(*question))
            self.asked += 1
        return self.known[key] == digest(ours)

    def save(self):
        if self.asked:
            FOLDER.mkdir(parents=True, exist_ok=True)
            self.file.write_text(json.dumps(self.known))
