"""Tiny twins of the published generators whose prompts language models read.

They have the same classes, module names and pipelines, and random weights.
"""

import string
from pathlib import Path

import torch
from diffusers import AutoencoderDC, SanaSprintPipeline, SanaTransformer2DModel, SCMScheduler
from transformers import Gemma2Config, Gemma2Model, GemmaTokenizer

from htbench.models.published.preset import architecture

GEMMA = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "query_pre_attn_scalar": 8,
}
TEXT = {"sana-sprint": [{"kind": "Gemma2Model", "tokens": 300, **GEMMA}]}
WORDS = {"sana-sprint": {"states": [300, 16], "mask": [300]}}


def save_sana(folder: Path) -> None:
    """Save the pipeline of SANA-Sprint in `folder`, with its transformer in two parts."""
    torch.manual_seed(1)
    transformer = SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=4,
        attention_head_dim=4,
        num_layers=2,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=16,
        sample_size=16,
        guidance_embeds=True,
        qk_norm="rms_norm_across_heads",
    )
    vae = AutoencoderDC(
        latent_channels=4,
        attention_head_dim=4,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(4, 8),
        decoder_block_out_channels=(4, 8),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        scaling_factor=0.41407,
    )
    letters = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *string.ascii_letters]
    SanaSprintPipeline(
        tokenizer=GemmaTokenizer({letter: k for k, letter in enumerate(letters)}, []),
        text_encoder=Gemma2Model(Gemma2Config(**GEMMA)),
        vae=vae,
        transformer=transformer,
        scheduler=SCMScheduler(**architecture("sana-sprint")["scheduler"]),
    ).save_pretrained(folder, max_shard_size="60KB")
