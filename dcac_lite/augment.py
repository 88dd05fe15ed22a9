"""Augmentation of the Re-ID branch: flip, pad and crop, random erasing, a whole batch at a time.

The diffusion branch sees the images as they are (Sec. 5.2)."""

import math

import torch
from torch import Tensor


def to_tensor(images) -> Tensor:
    """A uint8 tensor as it is, or a copy of a NumPy array (a memory map cannot be handed to torch)."""
    return images if isinstance(images, Tensor) else torch.from_numpy(images.copy())


def normalise(images: Tensor) -> Tensor:
    """uint8 [B, 3, H, W] -> float in [-1, 1]: mean 0.5, SD 0.5 (not CLIP's statistics)."""
    return images.float() / 127.5 - 1


def random_flip(x: Tensor, generator: torch.Generator, probability: float = 0.5) -> Tensor:
    """Mirror each image of [B, 3, H, W] left to right with `probability`."""
    flip = torch.rand(len(x), 1, 1, 1, generator=generator, device=x.device) < probability
    return torch.where(flip, x.flip(-1), x)


def random_crop(x: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Pad each image of [B, 3, H, W] with black by `padding` pixels on every side, crop H x W at random.

    Black is the raw pixel 0, which is -1 after `normalise`: torchvision pads before normalising."""
    batch, _, height, width = x.shape
    padded = torch.nn.functional.pad(x, [padding] * 4, value=-1.0)
    top, left = torch.randint(2 * padding + 1, (2, batch, 1), generator=generator, device=x.device)
    if x.device.type == "cpu":  # where slices are many times faster than a gather and numbers are at hand
        corners = zip(padded, top[:, 0].tolist(), left[:, 0].tolist())
        return torch.stack([image[:, t : t + height, c : c + width] for image, t, c in corners])
    rows = (top + torch.arange(height, device=x.device))[:, None, :, None]  # [B, 1, H, 1]
    columns = (left + torch.arange(width, device=x.device))[:, None, None, :]  # [B, 1, 1, W]
    images = torch.arange(batch, device=x.device)[:, None, None, None]
    channels = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
    return padded[images, channels, rows, columns]


def random_erasing(
    x: Tensor,
    generator: torch.Generator,
    probability: float = 0.5,
    area: tuple[float, float] = (0.02, 0.4),
    aspect: tuple[float, float] = (0.3, 3.3),
    value: float = 0.5,
) -> Tensor:
    """Overwrite a random rectangle of each normalised image of [B, 3, H, W] with `value`.

    The official recipe fills with 0.5 *after* normalisation, a light grey rather than the mean. The
    rectangle covers a share `area` of the image with an aspect ratio in `aspect`; one that does not
    fit leaves its image as it is (torchvision tries ten times; so do we, at once for the batch)."""
    batch, _, height, width = x.shape
    tries = 10

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(batch, tries, generator=generator, device=x.device)

    wanted = uniform(*area) * height * width
    ratio = torch.exp(uniform(math.log(aspect[0]), math.log(aspect[1])))
    h, w = (wanted * ratio).sqrt().round(), (wanted / ratio).sqrt().round()
    fits = (h < height) & (w < width)
    first = fits.float().argmax(1, keepdim=True)
    h, w = h.gather(1, first), w.gather(1, first)
    top = (uniform(0, 1)[:, :1] * (height - h + 1)).floor()
    left = (uniform(0, 1)[:, :1] * (width - w + 1)).floor()
    chosen = torch.rand(batch, 1, generator=generator, device=x.device) < probability
    rows, columns = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
    in_rows = (rows >= top) & (rows < top + h)  # [B, H]
    in_columns = (columns >= left) & (columns < left + w)  # [B, W]
    erase = (in_rows[:, :, None] & in_columns[:, None, :]) & (chosen & fits.any(1, keepdim=True))[:, :, None]
    return torch.where(erase[:, None], torch.full_like(x, value), x)


def random_jitter(x: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """What boxes and cameras differ in, for each normalised image of [B, 3, H, W]: at `strength` 1 a shift by up to
    10 % of each side, a scale of 0.85 to 1.15, and a gain of up to 25 % of each colour channel. Beyond the image its
    border is repeated. Not of the paper: networks as small as the lite tier's need it."""

    def uniform(extent: float, *shape: int) -> Tensor:
        values = torch.rand(len(x), *shape, generator=generator, device=x.device)
        return strength * extent * (2 * values - 1)

    transform = torch.zeros(len(x), 2, 3, device=x.device)
    transform[:, 0, 0] = transform[:, 1, 1] = 1 / (1 + uniform(0.15))
    transform[:, :, 2] = uniform(0.2, 2)  # the image spans -1..1, so 10 % of a side are 0.2
    grid = torch.nn.functional.affine_grid(transform, list(x.shape), align_corners=False)
    moved = torch.nn.functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
    return ((moved + 1) * (1 + uniform(0.25, 3, 1, 1)) - 1).clamp(-1, 1)  # the gain belongs to the raw values


def augment(images: Tensor, padding: int, erasing: float, jitter: float, generator: torch.Generator) -> Tensor:
    """uint8 [B, 3, H, W] -> the augmented, normalised batch of the Re-ID branch, float [B, 3, H, W]. padding: pixels;
    erasing: probability; jitter: strength. Each is left out at 0."""
    x = random_flip(normalise(images), generator)
    if padding > 0:
        x = random_crop(x, padding, generator)
    if jitter > 0:
        x = random_jitter(x, jitter, generator)
    return random_erasing(x, generator, erasing) if erasing > 0 else x
