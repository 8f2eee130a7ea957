"""G1 to G3: generation_config.json, on the commands that sample or stop by it."""

from attack import GOLDEN, Row, copied, file

QWEN3 = GOLDEN / "qwen3"
NAME = "generation_config.json"
SAMPLING = (
    "generate {model} --ids 1,2 -n 2 --sample",
    "generate {model} --ids 1,2 -n 2 --sample --ignore-eos --no-mmap",
    "generate {model} --ids 1,2 -n 2",
)
# what does not generate does not mind
OTHERS = ("info {model}", "logits {model} --ids 1,2 --out {out}/logits.safetensors", "verify {model} --tokens 4")


def setting(id_, text, status, says, commands=SAMPLING, **more):
    return Row(id_, text[:60], copied(QWEN3, file(NAME, text)), commands, status, says, good=QWEN3, **more)


def ids(count):
    return '{"eos_token_id": [0' + ",1" * (count - 1) + "]}"


ROWS = [
    setting("G1", '{"temperature": NaN}', "RANGE", (NAME, "temperature is NaN")),
    setting("G1", '{"temperature": Infinity}', "RANGE", (NAME, "temperature is Infinity")),
    setting("G1", '{"temperature": -1}', "RANGE", (NAME, "temperature is -1", "0..")),
    setting("G1", '{"temperature": "hot"}', "RANGE", (NAME, 'temperature is "hot"')),
    setting("G1", '{"temperature": 1e400}', "FORMAT", (NAME, "1e400")),
    setting("G1", '{"temperature": 0}', "OK", ""),
    setting("G1", "{", "FORMAT", NAME + r":1:\d+:"),
    setting("G1", '{"temperature": 1, "temperature": 1}', "FORMAT", (NAME, "duplicate key")),
    setting("G2", '{"top_p": 0}', "RANGE", (NAME, "top_p is 0", "above 0")),
    setting("G2", '{"top_p": 1.5}', "RANGE", (NAME, "top_p is 1.5", "at most 1")),
    setting("G2", '{"top_k": -1}', "RANGE", (NAME, "top_k is -1", "0..16777216")),
    setting("G2", '{"top_k": 1000000000}', "RANGE", (NAME, "top_k is 1000000000")),
    setting("G2", '{"min_p": 2}', "RANGE", (NAME, "min_p is 2")),
    setting("G2", '{"repetition_penalty": 0}', "RANGE", (NAME, "repetition_penalty is 0")),
    setting("G3", '{"eos_token_id": []}', "RANGE", (NAME, "eos_token_id is an empty list")),
    setting("G3", '{"eos_token_id": -1}', "RANGE", (NAME, "eos_token_id is -1")),
    setting("G3", '{"eos_token_id": [1, 256]}', "RANGE", (NAME, "eos_token_id has 256", "0..255")),
    setting("G3", ids(10**6), "RANGE", (NAME, "eos_token_id", "more than")),
    setting("G3", '{"max_length": 2}', "RANGE", ("max_length is 2", "the prompt has 2 tokens"),
            ("generate {model} --ids 1,2 --sample", "generate {model} --ids 1,2 --sample --ignore-eos")),
    setting("G3", '{"max_length": 5}', "OK", "", ("generate {model} --ids 1,2 --sample --ignore-eos",),
            prints=r"^\d+,\d+,\d+\n$"),
    setting("G3", '{"max_new_tokens": 0}', "RANGE", (NAME, "max_new_tokens is 0")),
    setting("G2", '{"top_p": 0, "eos_token_id": []}', "OK", "", OTHERS, writes=True),
]  # fmt: skip
