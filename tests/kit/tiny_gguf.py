"""A tiny language model and a vision encoder for it in GGUF, the format of llama.cpp.

The model reads bytes. Its output is a table of which byte follows which, so that it fills in the
form that a server enforces; random attention to all that it has read makes one of A and B likelier.
The vision encoder is random.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

CONTEXT = 1 << 12
"""Tokens, which are bytes and patches of pictures, of a question and its reply."""
_WIDTH, _HEADS, _LAYERS, _HIDDEN = 448, 7, 1, 32
_END = 256
"""The token after a reply; those before it are the bytes."""
_MEANING, _MEMORY = slice(257, 321), slice(321, 385)
"""Parts of an embedding: attention reads the first and writes the second."""
_EYE_WIDTH, _SIDE, _PATCH = 64, 56, 14
_SCALE = 10.0
"""A byte's entry of 4 in an embedding, after normalisation."""
_FOLLOWERS = {'"': {"A": 4.0, "B": 4.0, "t": 1.0, "c": 0.1}}
_ENDINGS = ('A"', 'B"', 'tie"', 'cannot_judge"', '{"', ':"', ',"')


def write_model(path: Path) -> Path:
    """The language model, at `path`."""
    import gguf

    dice = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_HIDDEN)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    letters = _letters()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*letters, "<end>"])
    writer.add_token_types([gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL])
    writer.add_token_merges([f"{letters[255]} {letters[255]}"])  # one is needed; no text has these
    writer.add_eos_token_id(_END)
    writer.add_chat_template("{% for message in messages %}{{ message.content }}{% endfor %}\n")
    tensors = {
        "token_embd.weight": _embeddings(dice),
        "output_norm.weight": np.ones(_WIDTH),
        "output.weight": _output(dice),
    }
    for layer in range(_LAYERS):
        value, out = np.zeros((2, _WIDTH, _WIDTH))
        value[:, _MEANING] = dice.normal(size=(_WIDTH, 64)) / 8
        out[_MEMORY] = dice.normal(size=(64, _WIDTH)) / 16
        query, key = dice.normal(size=(2, _WIDTH, _WIDTH)) / 16
        tensors |= {
            f"blk.{layer}.{name}.weight": array
            for name, array in {
                "attn_norm": np.ones(_WIDTH),
                "attn_q": query,
                "attn_k": key,
                "attn_v": value,
                "attn_output": out,
                "ffn_norm": np.ones(_WIDTH),
                "ffn_gate": np.zeros((_HIDDEN, _WIDTH)),
                "ffn_up": np.zeros((_HIDDEN, _WIDTH)),
                "ffn_down": np.zeros((_WIDTH, _HIDDEN)),
            }.items()
        }
    return _write(writer, tensors, path)


def write_vision_encoder(path: Path) -> Path:
    """The vision encoder, at `path`, with which the model takes pictures."""
    import gguf

    dice = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type("mlp")
    writer.add_vision_image_size(_SIDE)
    writer.add_vision_patch_size(_PATCH)
    writer.add_vision_embedding_length(_EYE_WIDTH)
    writer.add_vision_feed_forward_length(_EYE_WIDTH)
    writer.add_vision_block_count(2)
    writer.add_vision_head_count(4)
    writer.add_vision_attention_layernorm_eps(1e-5)
    writer.add_vision_projection_dim(_WIDTH)
    writer.add_vision_image_mean([0.5] * 3)
    writer.add_vision_image_std([0.5] * 3)
    writer.add_vision_use_gelu(True)
    patches = (_SIDE // _PATCH) ** 2
    projection = np.zeros((_WIDTH, _WIDTH))
    projection[_MEANING] = dice.normal(size=(64, _WIDTH)) / 16
    tensors = {
        "v.class_embd": dice.normal(size=_EYE_WIDTH),
        "v.patch_embd.weight": dice.normal(size=(_EYE_WIDTH, 3, _PATCH, _PATCH)) / 24,
        "v.position_embd.weight": dice.normal(size=(patches + 1, _EYE_WIDTH)) / 4,
        **_norm("v.pre_ln"),
        "mm.0.weight": dice.normal(size=(_WIDTH, _EYE_WIDTH)) / 8,
        "mm.0.bias": np.zeros(_WIDTH),
        "mm.2.weight": projection,
        "mm.2.bias": np.zeros(_WIDTH),
    }
    for layer in range(2):
        for name in ("attn_q", "attn_k", "attn_v", "attn_out", "ffn_up", "ffn_down"):
            tensors[f"v.blk.{layer}.{name}.weight"] = dice.normal(size=(_EYE_WIDTH, _EYE_WIDTH)) / 8
            tensors[f"v.blk.{layer}.{name}.bias"] = np.zeros(_EYE_WIDTH)
        tensors |= _norm(f"v.blk.{layer}.ln1") | _norm(f"v.blk.{layer}.ln2")
    return _write(writer, tensors, path)


def _letters() -> list[str]:
    """The letter of each byte in byte-level vocabularies: its own if that is printed, else a new
    one.
    """
    printed = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printed else chr(next(others)) for byte in range(256)]


def _embeddings(dice: np.random.Generator) -> np.ndarray:
    table = np.zeros((257, _WIDTH))
    table[:, :257] = 4 * np.eye(257)
    table[:, _MEANING] = dice.normal(size=(257, 64)) / 8
    return table


def _output(dice: np.random.Generator) -> np.ndarray:
    """Log probabilities of the next byte by the last one, and the effect of the memory."""
    counts = np.full((257, 257), 1e-4)
    for last, followers in _FOLLOWERS.items():
        for byte, weight in followers.items():
            counts[ord(last), ord(byte)] += weight
    for text in _ENDINGS:
        for last, byte in pairwise(text):
            counts[ord(last), ord(byte)] += 4.0
    counts[ord("}"), _END] += 4.0
    table = np.zeros((257, _WIDTH))
    table[:, :257] = np.log(counts / counts.sum(1, keepdims=True)).T / _SCALE
    table[ord("A"), _MEMORY] = dice.normal(size=64) / 8
    table[ord("B"), _MEMORY] = -table[ord("A"), _MEMORY]
    return table


def _norm(name: str) -> dict[str, np.ndarray]:
    return {f"{name}.weight": np.ones(_EYE_WIDTH), f"{name}.bias": np.zeros(_EYE_WIDTH)}


def _write(writer: Any, tensors: dict[str, np.ndarray], path: Path) -> Path:
    for name, array in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(array, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
