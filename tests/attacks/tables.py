"""All tables of rows, and the ids that there are (README.md)."""

import importlib
import pathlib

# letter: how many ids
COUNTS = {
    "S": 23,
    "X": 13,
    "C": 15,
    "T": 21,
    "J": 10,
    "G": 3,
    "P": 10,
    "A": 6,
    "L": 5,
    "F": 12,
    "W": 6,
    "K": 4,
    "D": 4,
    "M": 5,
}
IDS = [f"{letter}{number}" for letter, count in COUNTS.items() for number in range(1, count + 1)]

# letters whose subject does not exist, and why
NOT_YET = {
    "J": "there are no chat templates",
    "K": "there is no training to resume",
    "D": "there is no training",
    "M": "there is no run on several machines",
}


def letters():
    """Of the tables that are there."""
    return sorted(path.stem[-1].upper() for path in pathlib.Path(__file__).parent.glob("rows_?.py"))


def table(letter):
    return importlib.import_module(f"rows_{letter.lower()}").ROWS


def rows():
    return [row for letter in letters() for row in table(letter)]


def not_yet(identity):
    return f"not yet: {NOT_YET[identity[0]]}" if identity[0] in NOT_YET else ""
