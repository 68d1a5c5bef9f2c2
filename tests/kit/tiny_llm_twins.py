"""Tiny twins of the published generators whose prompts language models read.

They have the same classes, module names and pipelines, and random weights.
"""

import string
from pathlib import Path

import torch
from diffusers import (
    AutoencoderDC,
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SanaSprintPipeline,
    SanaTransformer2DModel,
    SCMScheduler,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from safetensors.torch import save_file
from tokenizers import AddedToken
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
)

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
QWEN = {
    "vocab_size": 260,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
}
QWEN_VL = {
    "text_config": {
        "vocab_size": 260,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1]},
    },
    "vision_config": {
        "depth": 1,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": 16,
    },
}
TEXT = {
    "sana-sprint": [{"kind": "Gemma2Model", "tokens": 300, **GEMMA}],
    "z-image": [{"kind": "Qwen3Model", "tokens": 512, **QWEN}],
    "qwen-image": [{"kind": "Qwen2_5_VLForConditionalGeneration", "tokens": 512, **QWEN_VL}],
    "flux2-klein": [{"kind": "Qwen3ForCausalLM", "tokens": 512, **QWEN}],
}
WORDS = {
    "sana-sprint": {"states": [300, 16], "mask": [300]},
    "z-image": {"states": [40, 16]},
    "qwen-image": {"states": [40, 16]},
    "flux2-klein": {"states": [40, 48]},
}
LORA = "Qwen-Image-Lightning-8steps-V1.0.safetensors"
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
"""The shape of Qwen 3's template of a chat."""


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


def save_z_image(folder: Path) -> None:
    """Save the pipeline of Z-Image-Turbo in `folder`, with its transformer in parts."""
    torch.manual_seed(1)
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=16,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[4, 2, 2],
        axes_lens=[1536, 512, 512],
    )
    for name, weight in transformer.named_parameters():
        if name.endswith("pad_token"):
            torch.nn.init.normal_(weight)
    ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**architecture("z-image")["scheduler"]),
        vae=AutoencoderKL(
            block_out_channels=(4, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            norm_num_groups=2,
            sample_size=32,
            scaling_factor=0.3611,
            shift_factor=0.1159,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        text_encoder=Qwen3Model(Qwen3Config(**QWEN)),
        tokenizer=_chat_tokeniser(),
        transformer=transformer,
    ).save_pretrained(folder, max_shard_size="60KB")


def save_qwen_image(folder: Path) -> None:
    """Save the pipeline of Qwen-Image in `folder`, and beside it the updates of its distillation.

    The updates have another scale for each matrix.
    """
    torch.manual_seed(1)
    transformer = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(4, 2, 2),
    )
    QwenImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**architecture("qwen-image")["scheduler"]),
        vae=AutoencoderKLQwenImage(
            base_dim=4,
            z_dim=4,
            dim_mult=[1, 2],
            num_res_blocks=1,
            temperal_downsample=[False],
            latents_mean=[-0.7, 0.1, 0.9, 1.5],
            latents_std=[2.8, 1.4, 0.6, 1.9],
        ),
        text_encoder=Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**QWEN_VL)),
        tokenizer=_chat_tokeniser(),
        transformer=transformer,
    ).save_pretrained(folder)
    updates: dict[str, torch.Tensor] = {}
    matrices = [
        (name.removesuffix(".weight"), weight.shape)
        for name, weight in transformer.named_parameters()
        if "transformer_blocks" in name and weight.ndim == 2
    ]
    for k, (name, (rows, columns)) in enumerate(matrices):
        updates[f"{name}.lora_down.weight"] = 0.1 * torch.randn(3, columns)
        updates[f"{name}.lora_up.weight"] = torch.randn(rows, 3)
        updates[f"{name}.alpha"] = torch.tensor(1.0 + k % 3)
    save_file(updates, folder / LORA)


def save_flux2(folder: Path) -> None:
    """Save the pipeline of FLUX.2 [klein] in `folder`, with its transformer in parts."""
    torch.manual_seed(1)
    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=48,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    vae = AutoencoderKLFlux2(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=32,
    )
    vae.bn.running_mean.normal_()
    vae.bn.running_var.uniform_(0.5, 4)
    Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**architecture("flux2-klein")["scheduler"]),
        vae=vae,
        text_encoder=Qwen3ForCausalLM(Qwen3Config(**QWEN | {"num_hidden_layers": 28})),
        tokenizer=_chat_tokeniser(),
        transformer=transformer,
        is_distilled=True,
    ).save_pretrained(folder, max_shard_size="60KB")


def _chat_tokeniser() -> Qwen2Tokenizer:
    """A tokeniser of bytes, with a chat."""
    words = ["<|endoftext|>", *sorted(ByteLevel.alphabet())]
    tokeniser = Qwen2Tokenizer({word: k for k, word in enumerate(words)}, [])
    tokeniser.add_tokens([AddedToken(f"<|im_{end}|>", special=True) for end in ("start", "end")])
    tokeniser.chat_template = CHAT
    return tokeniser
