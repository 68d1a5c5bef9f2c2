"""Tiny twins of the published generators, saved as a user's folder is.

They have the same classes, module names and pipelines, and random weights.
"""

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from htbench.models.published.preset import architecture

SIZE = 32
CELLS = SIZE // 2
CLIP = {
    "tokens": 77,
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
T5 = {
    "tokens": 30,
    "vocab_size": 60,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 16,
    "num_layers": 1,
    "num_heads": 2,
}
TEXT = {
    "sdxl": [{"kind": "CLIPTextModel", **CLIP}, {"kind": "CLIPTextModelWithProjection", **CLIP}],
    "pixart-sigma": [{"kind": "T5EncoderModel", **T5}],
    "flux": [{"kind": "CLIPTextModel", **CLIP}, {"kind": "T5EncoderModel", **T5}],
}
WORDS = {
    "sdxl": {"states": [77, 32], "pooled": [16]},
    "pixart-sigma": {"states": [30, 16], "mask": [30]},
    "flux": {"states": [30, 16], "pooled": [16]},
}


def save_sdxl(folder: Path) -> None:
    """Save the SDXL pipeline in `folder`, and beside it the UNets of DMD2 and SDXL-Lightning."""
    torch.manual_seed(1)
    unet = UNet2DConditionModel(
        sample_size=CELLS,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(8, 16),
        layers_per_block=1,
        attention_head_dim=(2, 4),
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=6 * 4 + 16,
        cross_attention_dim=32,
        norm_num_groups=4,
    )
    settings, tokenizer = _clip(folder)
    options = dict(architecture("sdxl")["scheduler"])
    for unknown in ("clip_sample", "set_alpha_to_one"):
        options.pop(unknown, None)
    scheduler = EulerDiscreteScheduler(**options)
    StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(settings),
        text_encoder_2=CLIPTextModelWithProjection(settings),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=scheduler,
    ).save_pretrained(folder)
    for steps in (1, 4):
        torch.save(
            {name: tensor + 0.01 * steps for name, tensor in unet.state_dict().items()},
            folder / f"dmd2_sdxl_{steps}step_unet_fp16.bin",
        )
    save_file(
        {name: (tensor - 0.01).contiguous() for name, tensor in unet.state_dict().items()},
        folder / "sdxl_lightning_4step_unet.safetensors",
    )


def save_pixart(folder: Path) -> None:
    """Save the PixArt-Sigma pipeline in `folder`, and beside it the transformer of Nitro-1."""
    torch.manual_seed(1)
    transformer = PixArtTransformer2DModel(
        sample_size=CELLS,
        patch_size=2,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=16,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        use_additional_conditions=False,
    )
    encoder, tokenizer = _t5()
    PixArtSigmaPipeline(
        vae=_vae(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(**architecture("pixart-sigma")["scheduler"]),
    ).save_pretrained(folder)
    save_file(
        {name: (tensor + 0.01).contiguous() for name, tensor in transformer.state_dict().items()},
        folder / "nitro.safetensors",
    )


def save_flux(folder: Path) -> None:
    """Save the pipeline of FLUX.1 [schnell] in `folder`, with its transformer in two parts."""
    torch.manual_seed(1)
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8),
    )
    (settings, words), (encoder, letters) = _clip(folder), _t5()
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**architecture("flux")["scheduler"]),
        transformer=transformer,
        tokenizer=words,
        tokenizer_2=letters,
        text_encoder=CLIPTextModel(settings),
        text_encoder_2=encoder,
        vae=_vae(shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
    ).save_pretrained(folder, max_shard_size="60KB")


def _clip(folder: Path) -> tuple[CLIPTextConfig, CLIPTokenizer]:
    settings = CLIPTextConfig(
        vocab_size=_clip_words(folder),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        projection_dim=16,
        max_position_embeddings=77,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return settings, CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77
    )


def _t5() -> tuple[T5EncoderModel, T5Tokenizer]:
    letters = [
        (token, 0.0) for token in ("<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyz")
    ]
    settings = T5Config(
        vocab_size=32,
        d_model=16,
        d_kv=8,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        feed_forward_proj="gated-gelu",
    )
    return T5EncoderModel(settings), T5Tokenizer(vocab=letters, extra_ids=0)


def _vae(**settings: object) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=SIZE,
        scaling_factor=0.13025,
        force_upcast=True,
        **settings,
    )


def _clip_words(folder: Path) -> int:
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: k for k, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return len(words)


def load_pipeline(folder: Path, **parts: object) -> DiffusionPipeline:
    """The plain pipeline in a folder, with the denoiser and the decoder in memory of their own.

    Those of models are so too. In a mapped file weights lie where some CPUs round matrix products
    in another way.
    """
    pipeline = DiffusionPipeline.from_pretrained(folder, **parts)
    for name in {"unet", "transformer", "vae"} & pipeline.components.keys():
        for weight in pipeline.components[name].parameters():
            weight.data = weight.data.clone()
    return pipeline
