"""Which commands open which file of a model: a row tries its input on all of them, for each opens files in its own way."""

# config.json, as a model's folder or as a file
OF_CONFIG_ALONE = (
    "info {model}/config.json",
    "roofline {model}/config.json",
    "init {model} --out {out}/new",
    "init {model}/config.json --out {out}/new",
)

# weights: their headers, and the tensors that a forward uses
OF_FORWARD = (
    "generate {model} --ids 1,2,3 -n 3 --ignore-eos",
    "generate {model} --ids 1,2,3 -n 3 --ignore-eos --sample --no-mmap",
    "generate {model} --ids 1,2,3 -n 3 --ignore-eos --weight-memory 64M",
    "logits {model} --ids 1,2,3 --out {out}/logits.safetensors",
    "logits {model} --ids 1,2,3 --out {out}/logits.safetensors --hidden -t 1",
    "compare {good} {model} --ids 1,2,3",
    "compare {model} {good} --ids 1,2,3",
    "verify {model} --tokens 4 --cpu generic",
    "roofline {model} --measure --at decode:4 --runs 1",
)
OF_WEIGHTS = (*OF_FORWARD, "convert {model} --out {out}/new", "info {model}", "roofline {model}")
OF_CONFIG = (*OF_WEIGHTS, *OF_CONFIG_ALONE)

# tokenizer.json
OF_TOKENIZER = (
    "tokenize {model} text",
    "tokenize {model}/tokenizer.json text",
    "tokenize {model} --jsonl {lines}",
    "detokenize {model} 1",
    "detokenize {model}/tokenizer.json 1",
    "generate {model} -p text -n 2",
)
# those that must not mind a bad one
WITHOUT_TOKENIZER = (
    "info {model}",
    "logits {model} --ids 1,2,3 --out {out}/logits.safetensors",
    "verify {model} --tokens 4 --cpu generic",
)
