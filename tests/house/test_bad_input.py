"""Hostile inputs have ids, and every id has a test that names it: alone, in the name of a test (s20_weights_...), in a
row of a table ({"S20", ...) or in a comment in the body of one. A range (S1 to S5) names nothing.

    S  safetensors files and weights        T  tokenizer.json                 P  prompts and token ids
    X  indexes, shards and links            G  generation_config.json         A  command lines and streams
    C  config.json                          L  plug-ins                       F  files that change, saves that fail
    W  files that are written
"""

import pathlib
import re
import tempfile
import unittest

from house import ROOT

# letter: how many there are
COUNTS = {"S": 23, "X": 13, "C": 15, "T": 21, "G": 3, "P": 10, "A": 6, "L": 5, "F": 12, "W": 6}
RANGE = re.compile(r"\b([A-Z]\d+)\s*(?:to|-)\s*([A-Z]?\d+)\b")
# in names of functions an id is followed by another or by words; digits and letters around it make it something else
ID = re.compile(r"(?<![A-Za-z0-9.%])([SXCTGPALFWsxctgpalfw])([0-9]{1,2})(?![A-Za-z0-9])")


def test_files(root):
    folders = [path for path in (root / "tests").iterdir() if path.name not in ("golden", "reference", "house")]
    for folder in sorted(folders):
        yield from sorted(path for path in folder.rglob("*") if path.suffix in (".c", ".h"))


def ids_named(text):
    """The ids that a file's tests name. What comes before the first function or table, the file's own comment, does not
    count: it says what is meant, not what is done."""
    begin = text.find("#include")
    text = RANGE.sub("", text[max(begin, 0) :])
    for match in re.finditer(
        r"/\*.*?\*/|\{\s*\"[A-Z][0-9]+\"|static void [a-z0-9_]+\(void \*\*state\)", text, re.DOTALL
    ):
        for letter, number in ID.findall(match.group()):
            yield letter.upper() + number


def missing(root):
    named = {identity for path in test_files(root) for identity in ids_named(path.read_text())}
    every = [f"{letter}{number}" for letter, count in COUNTS.items() for number in range(1, count + 1)]
    return [identity for identity in every if identity not in named]


class BadInput(unittest.TestCase):
    def test_every_id_has_a_test(self):
        self.assertEqual([], missing(ROOT))


class TheTestCanFail(unittest.TestCase):
    def missing_with(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "tests/files/test_x.c")
            path.parent.mkdir(parents=True)
            path.write_text('#include "support.h"\n' + text)
            return missing(pathlib.Path(folder))

    def test_on_an_id_without_a_test(self):
        self.assertIn("S20", self.missing_with("static void s2_files_are_small(void **state)\n"))
        self.assertIn("S20", self.missing_with("/* S18 to S20 are elsewhere */\n"))
        self.assertIn("S20", self.missing_with('const char *text = "S20";\n'))

    def test_not_on_one_that_is_named(self):
        self.assertNotIn("S20", self.missing_with("static void s2_s20_weights(void **state)\n"))
        self.assertNotIn("S20", self.missing_with('    {"S20", "NaN"},\n'))
        self.assertNotIn("S20", self.missing_with("    /* S20: of any dtype */\n"))


if __name__ == "__main__":
    unittest.main()
