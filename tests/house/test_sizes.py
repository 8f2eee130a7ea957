"""A file that passes 800 lines, or a function that passes 80, is asking to be split. Lines of C and of the documents fit
120 columns (those of Python are the formatter's business). Tables and what commands print may be wider in documents.

Tables that a script wrote are not for reading: a file whose first line says "Written by script/" is left alone.
"""

import pathlib
import tempfile
import unittest

from house import ROOT

FILE_LINES = 800
FUNCTION_LINES = 80
COLUMNS = 120
FOLDERS = ("include", "src", "cli", "tests", "examples", "bench")
SUFFIXES = (".c", ".h", ".py")


def function_faults(name, lines):
    """The formatter puts the braces of a function, and of nothing else, at the start of a line of their own."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            if number - start - 1 > FUNCTION_LINES:
                yield f"{name}:{start}: a function of {number - start - 1} lines, at most {FUNCTION_LINES}"
            start = None


def file_faults(name, text):
    lines = text.splitlines()
    if lines and "Written by script/" in lines[0]:
        return
    if len(lines) > FILE_LINES:
        yield f"{name}: {len(lines)} lines, at most {FILE_LINES}"
    if name.endswith((".c", ".h")):
        for number, line in enumerate(lines, 1):
            if len(line) > COLUMNS:
                yield f"{name}:{number}: {len(line)} columns, at most {COLUMNS}"
        yield from function_faults(name, lines)


def document_faults(name, text):
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > COLUMNS and not line.startswith(("|", "    ")):
            yield f"{name}:{number}: {len(line)} columns, at most {COLUMNS}"


def documents(root):
    yield from root.glob("*.md")
    for folder in (*FOLDERS, "docs"):
        yield from (root / folder).rglob("*.md")


def faults(root):
    for path in sorted(documents(root)):
        yield from document_faults(path.relative_to(root).as_posix(), path.read_text())
    paths = [path for folder in FOLDERS for path in (root / folder).rglob("*") if path.is_file()]
    for path in sorted(p for p in paths if p.suffix in SUFFIXES):
        yield from file_faults(path.relative_to(root).as_posix(), path.read_text())


class Sizes(unittest.TestCase):
    def test_nothing_asks_to_be_split(self):
        self.assertEqual(list(faults(ROOT)), [])


class TheTestCanFail(unittest.TestCase):
    def faults_of(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "src/file.c")
            path.parent.mkdir()
            path.write_text(text)
            return "\n".join(faults(pathlib.Path(folder)))

    def test_on_a_long_file(self):
        self.assertIn("801 lines", self.faults_of("\n" * 801))
        self.assertEqual("", self.faults_of("\n" * 800))
        self.assertEqual("", self.faults_of("/* Written by script/unicode */\n" + "\n" * 801))

    def test_on_a_long_function(self):
        self.assertIn("file.c:2: a function of 81", self.faults_of("void f(void)\n{\n" + "    g();\n" * 81 + "}\n"))
        self.assertEqual("", self.faults_of("void f(void)\n{\n" + "    g();\n" * 80 + "}\n"))

    def test_on_a_long_line(self):
        self.assertIn("file.c:1: 121 columns", self.faults_of("/" * 121 + "\n"))

    def test_on_a_long_line_of_a_document(self):
        self.assertEqual(["a.md:2: 121 columns, at most 120"], list(document_faults("a.md", "a\n" + "b" * 121)))
        self.assertEqual([], list(document_faults("a.md", "|" + "b" * 121 + "\n    " + "c" * 121)))


if __name__ == "__main__":
    unittest.main()
