/* Configs of every kind, for tests that hold for all of them. */
#ifndef ALLOY_TESTS_CONFIG_SAMPLES_H
#define ALLOY_TESTS_CONFIG_SAMPLES_H

static const char *const samples[] = {
    "{\"model_type\": \"qwen3\", \"num_hidden_layers\": 3, \"use_sliding_window\": true, \"max_window_layers\": 1, "
    "\"sliding_window\": 16, "
    "\"attention_bias\": true, \"torch_dtype\": \"float16\", \"eos_token_id\": [5, 6], \"bos_token_id\": 1, "
    "\"rope_scaling\": {\"type\": "
    "\"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 64, \"attention_factor\": 1.25}, \"rope_theta\": "
    "1e6, \"mlp_bias\": true}",
    "{\"model_type\": \"qwen3_moe\", \"num_hidden_layers\": 4, \"num_local_experts\": 8, \"decoder_sparse_step\": 2, "
    "\"mlp_only_layers\": [3], "
    "\"dtype\": \"bfloat16\", \"tie_word_embeddings\": true}",
    "{\"model_type\": \"qwen3_next\", \"num_hidden_layers\": 4, \"norm_topk_prob\": false, \"linear_num_value_heads\": "
    "64}",
    "{\"model_type\": \"qwen3_5\", \"text_config\": {\"num_hidden_layers\": 4, \"rope_parameters\": {\"rope_theta\": "
    "5.5, "
    "\"mrope_section\": [11, 11, 10]}}, \"tie_word_embeddings\": true, \"vision_config\": {\"depth\": 3}}",
    "{\"model_type\": \"qwen3_5_moe_text\", \"full_attention_interval\": 2, \"num_hidden_layers\": 5}",
    "{\"model_type\": \"llama\", \"num_hidden_layers\": 2, \"num_attention_heads\": 8, \"mlp_bias\": true, "
    "\"pad_token_id\": null, "
    "\"bos_token_id\": null, \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, "
    "\"high_freq_factor\": 4}, "
    "\"use_cache\": true, \"auto_map\": {}}",
    "{\"model_type\": \"qwen2\", \"num_hidden_layers\": 2, \"rope_parameters\": {\"rope_type\": \"linear\", "
    "\"factor\": 2}}",
    "{\"model_type\": \"mistral\", \"num_hidden_layers\": 2, \"sliding_window\": null, \"num_key_value_heads\": null}",
    "{\"model_type\": \"mistral\", \"num_hidden_layers\": 2}",
    "{\"model_type\": \"alloy\", \"vocab_size\": 256, \"hidden_size\": 64, \"num_hidden_layers\": 6, \"layer_types\": "
    "{\"pattern\": "
    "[\"linear_attention\", \"llama_attention_sliding\", \"full_attention\"], \"repeat\": 2}, \"ffn_types\": "
    "[\"qwen3_mlp\", \"qwen3_mlp\", "
    "\"qwen3_moe\", \"qwen3_5_moe\", \"qwen3_mlp\", \"qwen3_mlp\"], \"layer_overrides\": {\"llama_attention_sliding\": "
    "{\"head_dim\": 8, "
    "\"sliding_window\": 20, \"rope_parameters\": {\"rope_theta\": 3000.0}}, \"4\": {\"intermediate_size\": 96, "
    "\"own\": 3}, "
    "\"5\": {\"attention_bias\": true, \"attention_output_bias\": false}}, \"rms_norm_unit_offset\": true, "
    "\"attn_output_gate\": true, "
    "\"rope_parameters\": {\"main\": {\"rope_type\": \"yarn\", \"factor\": 4}, \"compress\": {\"rope_theta\": "
    "160000}}, "
    "\"num_attention_heads\": 4, \"own\": {\"deep\": [1, {\"er\": null}], \"\\u00e9\\n\": \"\\ud83d\\ude00\"}, "
    "\"use_sliding_window\": 7, "
    "\"num_experts\": 8, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 48, \"scoring_func\": \"sigmoid\", "
    "\"dtype\": \"float32\", "
    "\"compress_rates\": {\"compressed_sparse_attention\": 4}, \"eos_token_id\": 255, \"hc_eps\": 0.01, \"use_mhc\": "
    "true}",
    "{\"model_type\": \"alloy\", \"vocab_size\": 1, \"layer_types\": [\"x\"], \"rope_theta\": 7, \"rope_scaling\": "
    "{\"type\": \"linear\", "
    "\"factor\": 3}, \"partial_rotary_factor\": 0.5, \"head_dim\": null, \"pad_token_id\": null}",
};

enum { SAMPLES = sizeof samples / sizeof *samples };

#endif
