"""C1 to C15: config.json, on every command that reads one: a folder's and a file's."""

from attack import GOLDEN, GONE, RAW, Row, copied, dumps, fields, file
from commands import OF_CONFIG, OF_WEIGHTS

QWEN3, LLAMA, MOE = GOLDEN / "qwen3", GOLDEN / "llama_linear_sharded", GOLDEN / "qwen3_moe"
QWEN3_5 = GOLDEN / "qwen3_5"
CONFIG = "config.json"

# one way of opening a folder, one of a file, one that writes: for inputs that differ in a number only
FEW = (
    "generate {model} --ids 1,2,3 -n 3",
    "convert {model} --out {out}/new",
    "info {model}/config.json",
    "roofline {model}",
    "init {model} --out {out}/new",
)


def text(id_, what, content, status, says, **more):
    return Row(id_, what, copied(QWEN3, file(CONFIG, content)), OF_CONFIG, status, says, good=QWEN3, **more)


def field(id_, name, value, status, says, model=QWEN3, commands=FEW, **more):
    edit = fields(CONFIG, **{name: value})
    what = f"{name} is {dumps(value) if value is not GONE else 'gone'}"[:80]
    return Row(id_, what, copied(model, edit), commands, status, says, good=model, **more)


def sound():
    return (QWEN3 / CONFIG).read_text()


def nested(depth, opening="[", closing="]"):
    return lambda: sound().replace("{", '{"x": ' + opening * depth + closing * depth + ",", 1)


SIZES = ["0", "-1", "2147483648", "1.5", '"4096"', "true", "null", "[4096]", "1e300", "18446744073709551617"]
SIZED = {
    "hidden_size": "1..1048576",
    "num_attention_heads": "1..65536",
    "intermediate_size": "1..1048576",
    "num_hidden_layers": "1..100000",
    "vocab_size": "1..2147483647",
}

ROWS = [
    text("C1", "empty", "", "FORMAT", r"config\.json:1:1:.*an object"),
    text("C1", "an array", "[]", "FORMAT", r"config\.json:1:1:.*an object"),
    text("C1", "a byte order mark", lambda: "\ufeff" + sound(), "FORMAT", r"config\.json:1:1:.*BOM"),
    text("C1", "not UTF-8", lambda: sound().encode().replace(b"silu", b"sil\xff"), "FORMAT", "UTF-8"),
    text("C1", "truncated in the middle", lambda: sound()[: len(sound()) // 2], "FORMAT", r"config\.json:\d+:\d+:"),
    text("C1", "without its last brace", lambda: sound().rstrip()[:-1], "FORMAT", r"config\.json:\d+:\d+:"),
    text("C1", "more behind the end", lambda: sound() + "x", "FORMAT", "the end of the text"),
    text("C2", "129 levels", nested(129), "LIMIT", "128 levels"),
    text("C2", "100,000 levels of lists", nested(100000), "LIMIT", "128 levels"),
    text("C2", "100,000 levels of objects", nested(100000, '{"a":', "}"), "LIMIT|FORMAT", "128 levels|config.json"),
    text("C3", "more than 4 MiB", lambda: sound() + " " * (4 << 20), "LIMIT", (CONFIG, "4194304")),
    text("C4", "a key twice", lambda: sound().replace('"head_dim": 16', '"head_dim": 16, "head_dim": 16'), "FORMAT",
         ("duplicate key", "head_dim")),
    text("C4", "a key twice, once escaped",
         lambda: sound().replace('"head_dim": 16', '"head_dim": 16, "head\\u005fdim": 16'), "FORMAT", "duplicate key"),
    field("C5", "rms_norm_eps", RAW("1e400"), "FORMAT", (CONFIG, "1e400"), commands=OF_CONFIG),
    field("C5", "rms_norm_eps", RAW("NaN"), "RANGE", ("rms_norm_eps is NaN",), commands=OF_CONFIG),
    field("C5", "rms_norm_eps", RAW("Infinity"), "RANGE", ("rms_norm_eps is Infinity",)),
    field("C5", "hidden_size", RAW("-Infinity"), "RANGE", ("hidden_size is -Infinity",)),
    field("C5", "not_read_by_anyone", [RAW("NaN"), RAW("Infinity"), RAW("-Infinity")], "OK", "", commands=OF_CONFIG,
          writes=True),
    field("C5", "rms_norm_eps", RAW("nan"), "FORMAT", r"config\.json:\d+:\d+:"),
    *[field("C6", name, RAW(size), "RANGE", (f"{name} is", span)) for name, span in SIZED.items() for size in SIZES],
    field("C6", "hidden_size", 0, "RANGE", ("hidden_size is 0", "1..1048576"), commands=OF_CONFIG),
    field("C7", "num_hidden_layers", 10**9, "RANGE", ("num_hidden_layers is 1000000000", "1..100000"),
          commands=OF_CONFIG),
    field("C7", "layer_types", ["full_attention"] * 5, "RANGE|FORMAT", "layer_types", commands=OF_CONFIG),
    field("C8", "num_key_value_heads", 0, "RANGE", ("num_key_value_heads is 0", "1..65536"), commands=OF_CONFIG),
    field("C8", "num_key_value_heads", 3, "RANGE", ("num_key_value_heads", "3"), commands=OF_CONFIG),
    field("C8", "num_key_value_heads", 8, "RANGE", ("num_key_value_heads", "8"), commands=OF_CONFIG),
    field("C8", "head_dim", 0, "RANGE", "head_dim is 0"),
    field("C8", "num_experts_per_tok", 0, "RANGE", "num_experts_per_tok", model=MOE, commands=OF_CONFIG),
    field("C8", "num_experts_per_tok", 10**6, "RANGE", "num_experts_per_tok", model=MOE),
    field("C8", "num_experts", -1, "RANGE", "num_experts", model=MOE),
    field("C8", "linear_num_value_heads", 3, "RANGE", "linear_num", model=QWEN3_5),
    field("C9", "vocab_size", 0, "RANGE", ("vocab_size is 0", "1..2147483647"), commands=OF_CONFIG),
    field("C9", "vocab_size", 2**31, "RANGE", "vocab_size is 2147483648", commands=OF_CONFIG),
    field("C9", "eos_token_id", [], "RANGE", "eos_token_id is an empty list"),
    field("C9", "eos_token_id", [1, -5], "RANGE", "eos_token_id is -5"),
    field("C9", "bos_token_id", 2**32, "RANGE", "bos_token_id"),
    field("C10", "partial_rotary_factor", 1.01, "RANGE", "partial_rotary_factor is 1.01", model=QWEN3_5),
    field("C10", "rope_parameters", {"rope_theta": 1e4, "rope_type": "default", "partial_rotary_factor": 0}, "RANGE",
          "partial_rotary_factor is 0", model=QWEN3_5),
    field("C10", "head_dim", 15, "RANGE", "head_dim", commands=OF_CONFIG),
    field("C11", "rope_parameters", {"rope_theta": 0, "rope_type": "default"}, "RANGE", ("rope_theta is 0", "above 0"),
          commands=OF_CONFIG),
    field("C11", "rope_parameters", {"rope_theta": RAW("NaN"), "rope_type": "default"}, "RANGE", "rope_theta is NaN"),
    field("C11", "rope_parameters", {"rope_theta": -1, "rope_type": "default"}, "RANGE", "rope_theta is -1"),
    field("C11", "rope_parameters", {"rope_theta": 1e4, "rope_type": "linear", "factor": 0}, "RANGE", "factor is 0",
          model=LLAMA, commands=OF_CONFIG),
    field("C11", "rope_parameters", {"rope_theta": 1e4, "rope_type": "linear"}, "RANGE", "factor", model=LLAMA),
    field("C11", "rope_parameters", {"rope_theta": 1e4, "rope_type": "yaarn"}, "FORMAT", 'did you mean "yarn"'),
    field("C11", "rope_parameters", {"rope_theta": 1e4, "rope_type": "longrope"}, "UNSUPPORTED", "longrope"),
    field("C12", "rms_norm_eps", 0, "RANGE", ("rms_norm_eps is 0", "above 0"), commands=OF_CONFIG),
    field("C12", "rms_norm_eps", -1e-6, "RANGE", "rms_norm_eps is -1e-6|rms_norm_eps is -1e-06"),
    field("C12", "rms_norm_eps", "1e-6", "RANGE", ('rms_norm_eps is "1e-6"', "a number")),
    Row("C12", "a window of 0 where layers slide", copied(QWEN3, fields(
        CONFIG, sliding_window=0, use_sliding_window=True, layer_types=["sliding_attention"] * 4)), OF_CONFIG, "RANGE",
        ("sliding_window",), good=QWEN3),
    field("C13", "hidden_act", "gelu", "FORMAT", ('hidden_act "gelu"', "silu"), commands=OF_CONFIG),
    field("C13", "model_type", "lama", "FORMAT", ('model_type "lama"', 'did you mean "llama"'), commands=OF_CONFIG),
    field("C13", "model_type", "gpt2", "FORMAT", 'model_type "gpt2"', commands=OF_CONFIG),
    field("C13", "model_type", GONE, "FORMAT", "model_type is missing"),
    field("C13", "model_type", None, "FORMAT", "model_type is null"),
    field("C13", "dtype", "int8", "FORMAT", ('dtype "int8"', "bfloat16")),
    field("C13", "tie_word_embeddings", 1, "FORMAT", ("tie_word_embeddings is 1", "true or false")),
    field("C13", "layer_types", ["full_attention", "magic"] * 2, "FORMAT", "magic"),
    field("C13", "attention_bias", "yes", "FORMAT|RANGE", "attention_bias"),
    field("C13", "is_causal", False, "FORMAT|UNSUPPORTED", "is_causal", commands=OF_CONFIG),
    Row("C13", "a quantisation that is not known",
        copied(QWEN3, fields(CONFIG, quantization_config={"quant_method": "gptq", "bits": 4})),
        OF_CONFIG, "FORMAT", ('quant_method "gptq"', "fp8", "mxfp4"), good=QWEN3),
    field("C13", "quantization_config", 7, "FORMAT", ("quantization_config", "an object")),
    field("C13", "quantization_config", {"quant_method": "fp8", "weight_block_size": [0, 128]}, "RANGE",
          "weight_block_size is 0"),
    Row("C14", "code and addresses", copied(QWEN3, fields(
        CONFIG, auto_map={"AutoModel": "evil--x.Y"}, trust_remote_code=True, _attn_implementation="user/kernel",
        custom_pipelines={}, homepage="https://example.org/")), OF_CONFIG, "OK",
        ("warning: .*auto_map", "trust_remote_code", "_attn_implementation", "custom_pipelines", "homepage"),
        good=QWEN3, writes=True, check=lambda places, answer: once(answer, "auto_map")),
    field("C15", "max_position_embeddings", 10**9, "OK", "", commands=(
        *OF_WEIGHTS, "info {model}/config.json"), writes=True),
    Row("C15", "the cache of such a context", test="engine_contexts:c15_a_cache_of_so_many_is_refused_when_asked_for"),
    Row("C15", "tokens of the longest context", copied(QWEN3, fields(CONFIG, max_position_embeddings=10**9)),
        ("info {model}", ), "OK", "", prints="1\\.0.* TB|1024000000000", good=QWEN3, json=False),
]  # fmt: skip


def once(answer, word):
    lines = [line for line in answer.err.splitlines() if word in line]
    assert len(lines) == 1, f"{word} is told {len(lines)} times"
