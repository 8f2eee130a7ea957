"""The command is a client of include/alloy: beside public headers and its own it includes what this list has.

The list may only get shorter. A header that no file of cli/ includes any more is a row to be taken out, and the test
fails until it is.
"""

import pathlib
import tempfile
import unittest

from house import ROOT
from test_rooms import INCLUDE, sources

# Text, JSON and tables, shared with the library: one line of error text a thread, memory that tests can make fail.
HELPERS = {
    "base/figures.h": "figures as reports have them",
    "base/memory.h": "arrays that grow, and tests that let each allocation fail",
    "base/names.h": "the nearest flag and command",
    "base/printable.h": "text from files in a form that acts on no terminal",
    "base/status.h": "the line of error text and its status",
    "base/table.h": "tables",
    "base/text.h": "text that grows, numbers in every locale",
    "files/json.h": "lists of ids, lines of --jsonl",
    "files/json_fields.h": "the document of --json",
}

# What the public headers lack so far.
INSIDES = {
    "base/file.h": "reading a whole file to a limit",
    "base/file_set.h": "which files a run reads and writes: only the command asks, by the rules of file_write.h",
    "base/file_write.h": "replacing a file whole, also a FIFO",
}

ALLOWED = HELPERS | INSIDES


def private_includes(root):
    """header -> the files of cli/ that include it."""
    found = {}
    for path in sources(root / "cli"):
        for bracket, header in INCLUDE.findall(path.read_text()):
            own = "/" not in header and (path.parent / header).exists()
            if bracket == '"' and not own and not header.startswith("alloy/"):
                found.setdefault(header, []).append(path.name)
    return found


def faults(root, allowed):
    found = private_includes(root)
    for header in sorted(found.keys() - allowed.keys()):
        yield f"{header} is included by {', '.join(found[header])}: the command is a client of include/alloy"
    for header in sorted(allowed.keys() - found.keys()):
        yield f"{header} is included by no file of cli/ any more: take its row out"


class Client(unittest.TestCase):
    def test_the_command_includes_what_the_list_has(self):
        self.assertEqual(list(faults(ROOT, ALLOWED)), [])

    def test_every_row_is_a_header_with_a_reason(self):
        for header, reason in ALLOWED.items():
            self.assertTrue((ROOT / "src" / header).is_file(), header)
            self.assertTrue(reason)


class TheTestCanFail(unittest.TestCase):
    def faults_of(self, text, allowed):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "cli").mkdir()
            (root / "cli/job.h").write_text("")
            (root / "cli/job.c").write_text(text)
            return "\n".join(faults(root, allowed))

    def test_on_a_header_that_is_not_allowed(self):
        text = '#include "alloy/alloy.h"\n#include "job.h"\n#include <stdio.h>\n#include "checkpoint/model.h"\n'
        self.assertIn("checkpoint/model.h is included by job.c", self.faults_of(text, {}))
        self.assertEqual("", self.faults_of(text, {"checkpoint/model.h": "its struct"}))
        self.assertIn("nowhere.h", self.faults_of('#include "nowhere.h"\n', {}))

    def test_on_a_row_that_nobody_needs(self):
        self.assertIn("take its row out", self.faults_of("", {"checkpoint/model.h": "its struct"}))


if __name__ == "__main__":
    unittest.main()
