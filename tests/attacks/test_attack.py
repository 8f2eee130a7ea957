"""The runner of rows can fail: each thing that a row promises is broken once by a stand-in for the command, and by rows
that expect what does not happen."""

import pathlib
import unittest

import attack
from attack import GOLDEN, Row, Runner, copied, file

QWEN3 = GOLDEN / "qwen3"
BAD = copied(QWEN3, file("config.json", "[]"))


class Rows(unittest.TestCase):
    def setUp(self):
        self.runner = Runner()
        self.command, self.slow = attack.COMMAND, attack.SLOW

    def tearDown(self):
        attack.COMMAND, attack.SLOW = self.command, self.slow
        self.runner.scratch.close()

    def faults(self, **row):
        row = {"make": BAD, "commands": ("info {model}",), "says": "an object", "json": False, **row}
        return "\n".join(self.runner.try_row(Row("C1", "a row", **row)))

    def stand_in(self, script, **row):
        """What the row says of a command that does this."""
        path = self.runner.scratch.folder / "stand-in"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        attack.COMMAND = path
        return self.faults(**row)

    def test_a_row_that_holds(self):
        self.assertEqual("", self.faults())
        self.assertEqual("", self.faults(commands=("info {model}", "convert {model} --out {out}/new"), json=True))
        self.assertEqual("", self.faults(good=QWEN3))
        self.assertEqual("", self.stand_in("echo 'alloy: an object' >&2; exit 3"))

    def test_the_status_and_the_text_count(self):
        self.assertIn("ended with FORMAT, expected RANGE", self.faults(status="RANGE"))
        self.assertIn("expected /a lemon/", self.faults(says="a lemon"))
        self.assertIn("expected /a lemon/", self.faults(says=("an object", "a lemon")))
        self.assertIn("ended with OK, expected FORMAT", self.faults(make=copied(QWEN3)))
        self.assertIn("ended with 77", self.stand_in("exit 77"))

    def test_one_line_of_error_and_nothing_on_stdout(self):
        self.assertIn("one line of error", self.stand_in("exit 3"))
        self.assertIn("one line of error", self.stand_in("echo 'alloy: an object\nalloy: x' >&2; exit 3"))
        self.assertIn("one line of error", self.stand_in("echo 'alloy: an object\nmore' >&2; exit 3"))
        self.assertIn("control characters", self.stand_in("printf 'alloy: an object \\033[2J\\n' >&2; exit 3"))
        self.assertIn("on stdout", self.stand_in("echo 'alloy: an object' >&2; echo x; exit 3"))

    def test_signals_and_hangs(self):
        self.assertIn("signal 11", self.stand_in("kill -SEGV $$"))
        hang, attack.HANG = attack.HANG, 0.3
        try:
            self.assertIn("did not end", self.stand_in("exec sleep 20"))
        finally:
            attack.HANG = hang

    def test_the_error_document(self):
        commands = ("info {model}", "info {model}")
        self.assertIn(
            "no error document", self.stand_in("echo 'alloy: an object' >&2; exit 3", commands=commands, json=True)
        )
        document = '{"error": {"status": "RANGE", "code": 5, "message": "an object"}}'
        script = f"echo 'alloy: an object' >&2; case $* in *--json*) echo '{document}';; esac; exit 3"
        self.assertIn("the document says", self.stand_in(script, commands=commands, json=True))

    def test_nothing_is_written(self):
        write = "echo 'alloy: an object' >&2; {}; exit 3"
        self.assertIn("written", self.stand_in(write.format('echo x > "$2/new"')))
        self.assertIn("written", self.stand_in(write.format('echo x >> "$2/config.json"')))
        self.assertIn("written", self.stand_in(write.format('chmod 600 "$2/config.json"')))
        self.assertIn("written", self.stand_in(write.format('rm "$2/config.json"')))

    def test_nothing_is_written_where_commands_run(self):
        runner = Runner()
        (pathlib.Path.cwd() / "stray").write_text("x")
        with self.assertRaises(attack.Fault):
            runner.close()

    def test_time_and_memory(self):
        attack.SLOW = False
        script = "i=0; while [ $i -lt 3000000 ]; do i=$((i+1)); done; echo 'alloy: an object' >&2; exit 3"
        self.assertIn("beyond a sound input", self.stand_in(script, seconds=0.1))
        script = "x=$(head -c 150000000 /dev/zero | tr '\\0' x); echo 'alloy: an object' >&2; exit 3"
        self.assertIn("MiB", self.stand_in(script, seconds=60))
        attack.SLOW = True
        self.assertEqual("", self.stand_in(script))

    def test_a_test_has_to_exist_and_to_pass(self):
        test = "files_weights:f1_a_file_that_lost_bytes_under_its_mapping_is_named"
        self.assertEqual([], self.runner.try_row(Row("F1", "a test", test=test)))
        self.assertIn("was not run", self.runner.try_row(Row("F1", "a test", test="files_weights:f1_no_such_test"))[0])
        self.assertIn("no program", self.runner.try_row(Row("F1", "a test", test="files_nothing:f1_x"))[0])


if __name__ == "__main__":
    unittest.main()
