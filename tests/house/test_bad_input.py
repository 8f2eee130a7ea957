"""Hostile inputs have ids, and every id has a row of a table in tests/attacks that a runner executes (ctest attacks/), or
stands there as not yet, with the reason.

    S  safetensors files and weights        G  generation_config.json         F  files that change, saves that fail
    X  indexes, shards and links            P  prompts and token ids          W  what is written to
    C  config.json                          A  command lines and streams      J, K, D, M  not yet
    T  tokenizer.json                       L  plug-ins
"""

import sys
import unittest

from house import ROOT

sys.path.insert(0, str(ROOT / "tests/attacks"))
import tables


def missing(rows, not_yet):
    held = {row.id for row in rows}
    return [identity for identity in tables.IDS if identity not in held and identity[0] not in not_yet]


class BadInput(unittest.TestCase):
    def test_every_id_has_a_row(self):
        self.assertEqual([], missing(tables.rows(), tables.NOT_YET))

    def test_every_row_has_an_id_that_exists_and_does_something(self):
        for row in tables.rows():
            self.assertIn(row.id, tables.IDS)
            self.assertTrue(
                row.test or (row.commands and row.make), f"{row.id} {row.what}: neither commands nor a test"
            )

    def test_what_is_not_yet_has_no_rows(self):
        self.assertEqual([], [row.id for row in tables.rows() if row.id[0] in tables.NOT_YET])

    def test_tests_that_rows_name_exist(self):
        """A row's PROGRAM:TEST is a function of tests/ROOM/test_THING.c; the runner sees that it runs."""
        for row in tables.rows():
            if row.test:
                program, name = row.test.split(":")
                room, thing = program.split("_", 1)
                text = (ROOT / f"tests/{room}/test_{thing}.c").read_text()
                self.assertTrue(f"static void {name}(void **state)" in text, f"{row.id}: no {row.test}")


class TheTestCanFail(unittest.TestCase):
    def test_on_an_id_without_a_row(self):
        rows = [row for row in tables.rows() if row.id != "S20"]
        self.assertEqual(["S20"], missing(rows, tables.NOT_YET))

    def test_on_a_subject_that_came_into_being(self):
        not_yet = {letter: reason for letter, reason in tables.NOT_YET.items() if letter != "K"}
        self.assertEqual(["K1", "K2", "K3", "K4"], missing(tables.rows(), not_yet))


if __name__ == "__main__":
    unittest.main()
