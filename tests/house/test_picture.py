"""docs/house.svg is what the includes and the table of rooms say."""

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from house import ROOT


def check(root):
    return subprocess.run([ROOT / "script/house-picture", "--check", "--root", root], capture_output=True, text=True)


class Picture(unittest.TestCase):
    def test_the_drawing_is_of_these_rooms(self):
        result = check(ROOT)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_a_new_include_makes_it_stale(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder)
            shutil.copy(ROOT / "CMakeLists.txt", copy)
            shutil.copytree(ROOT / "docs", copy / "docs")
            shutil.copytree(ROOT / "src", copy / "src")
            self.assertEqual(check(copy).returncode, 0)
            (copy / "src/tokenizer/new.c").write_text('#include "kernels/kernels.h"\n')
            result = check(copy)
            self.assertEqual(result.returncode, 1)
            self.assertIn("run script/house-picture", result.stderr)


if __name__ == "__main__":
    unittest.main()
