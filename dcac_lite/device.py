"""Where a run computes, and in which arithmetic."""

import torch

#: The `precision` of an experiment -> the dtype of autocast; "no" is float32 throughout.
AUTOCAST: dict[str, torch.dtype | None] = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def keep_float32() -> None:
    """Let a GPU compute float32 in float32, for the whole process: by default it rounds the inputs of
    convolutions to ten bits (TF32), and one run would have two results."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def full_precision(x: torch.Tensor) -> torch.autocast:
    """A context in which autocast leaves float32 alone, on the device of `x`. The encoder and the U-Net
    run in low precision; what is behind a temperature must not: at a cosine of 1, tau = 0.01 makes a logit
    of 100, where bfloat16 resolves 0.5."""
    return torch.autocast(x.device.type, enabled=False)


def compute_device() -> torch.device:
    """The current accelerator, such as a GPU, or the CPU where there is none."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def bfloat16_is_fast() -> bool:
    """Whether the GPU, or the CPU where there is none, has instructions for bfloat16; without them it is slower than
    float32."""
    device = compute_device()
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
