"""How good the lite weights are, measured on people of the web that pre-training never saw (notebook A1).

`python -m dcac_lite weights report` prints `report()`, the numbers of the model card.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..augment import normalise
from ..diffusion import predict_noise, sample_latents, to_diffusion_input, vae_moments
from ..pretrained.captions import load_text_encoder
from ..pretrained.clip import load_clip
from ..pretrained.stable_diffusion import load_stable_diffusion
from ..studies.study import paired_interval
from ..tiers import LITE
from ..world.appearance import COLOURS
from ..world.descriptors import stripe_histograms
from ..world.domains import web_sample
from ..world.figure import BOX_HEIGHT, BOX_WIDTH, MARGIN, TOP, TOP_SHADE, draw_labels
from .make import LITE_RECIPE, web_images
from .stable_diffusion import IMAGE_SIZE

#: The first person of the web whom neither model has seen: CLIP's come first, then those of Stable Diffusion.
HELD_OUT = LITE_RECIPE.people + LITE_RECIPE.diffusion_people


def psnr(a: Tensor, b: Tensor, span: float) -> Tensor:
    """Peak signal-to-noise ratio of each pair of images [N, ...] in decibels; `span` is the distance
    between the darkest and the brightest possible value (2 for images in [-1, 1])."""
    return 10 * torch.log10(span**2 / (a - b).square().flatten(1).mean(1))


@torch.no_grad()
def reconstruct(vae: torch.nn.Module, images: Tensor, size: int, batch: int = 128) -> tuple[Tensor, Tensor]:
    """What the diffusion branch is given and what the VAE makes of it, both [N, 3, size, size] in
    [-1, 1]. `images` uint8 [N, 3, H, W]; the latent is the posterior mean."""
    x = to_diffusion_input(images, size)
    mean, _ = vae_moments(vae, images, size, batch).chunk(2, dim=1)
    return x, torch.cat([vae.decode(part).sample for part in mean.split(batch)]).clamp(-1, 1)


def reconstruct_linearly(vae: torch.nn.Module, images: Tensor, size: int, count: int = 4000) -> Tensor:
    """What a principal component analysis makes of pictures with as many numbers as the VAE's latent has, fitted to the
    first `count` people of the web, whom the VAE trained on: shapes and range as in `reconstruct`."""
    from sklearn.decomposition import PCA

    of_people, asked = (to_diffusion_input(x, size).flatten(1).numpy() for x in (web_images(0, count)[0], images))
    numbers = vae.config.latent_channels * (size // 2 ** (len(vae.config.block_out_channels) - 1)) ** 2
    pca = PCA(numbers, random_state=0).fit(of_people)
    again = pca.inverse_transform(pca.transform(asked))
    return torch.from_numpy(again).float().clamp(-1, 1).view(len(images), 3, size, size)


@torch.no_grad()
def caption_retrieval(clip: torch.nn.Module, tokenizer, images: Tensor, captions: list[str]) -> dict[str, float]:
    """Zero-shot retrieval of the caption of uint8 images [N, 3, H, W] among all *distinct* captions:
    {"R1", "R5", "chance_R1", "chance_R5"} in percent, and the number of "candidates"."""
    distinct = sorted(set(captions))
    texts = clip.encode_text(tokenizer(distinct), normalize=True)
    own = torch.tensor([distinct.index(caption) for caption in captions])
    similarity = torch.cat(
        [clip.encode_image(normalise(part), normalize=True) @ texts.t() for part in images.split(256)]
    )
    rank = (similarity > similarity.gather(1, own[:, None])).sum(1)  # captions that fit better than the true one
    result = {f"R{k}": 100 * float((rank < k).float().mean()) for k in (1, 5)}
    return result | {f"chance_R{k}": 100 * k / len(distinct) for k in (1, 5)} | {"candidates": len(distinct)}


@torch.no_grad()
def image_features(clip: torch.nn.Module, images: Tensor) -> Tensor:
    """CLIP's raw features of uint8 images [N, 3, H, W]: float32 [N, d], unit length."""
    return torch.cat([clip.encode_image(normalise(part), normalize=True) for part in images.split(256)])


def photograph_retrieval(features: Tensor, second: Tensor) -> dict[str, float]:
    """How much features know of identity: for each of N people the rank of their second photograph among all N,
    searched for with the first, by cosine. features of the first and of the second photographs: [N, d]. {"R1", "R5",
    "chance_R1", "chance_R5"} in percent."""
    one, other = F.normalize(features), F.normalize(second)
    similarity = one @ other.t()
    rank = (similarity > similarity.diagonal()[:, None]).sum(1)
    return {f"R{k}": 100 * float((rank < k).float().mean()) for k in (1, 5)} | {
        f"chance_R{k}": 100 * k / len(one) for k in (1, 5)
    }


@torch.no_grad()
def conditional_error(folder: Path, images: Tensor, captions: list[str], seed: int = 0) -> dict[str, np.ndarray]:
    """Mean squared error of the noise prediction per image, under the image's own caption ("right"),
    that of the next image ("shuffled") and the empty one ("empty"): same latents, noise and timesteps
    for all three, so that they can be compared image by image. Also the "timestep" of each image."""
    parts = load_stable_diffusion(folder, IMAGE_SIZE)
    generator = torch.Generator().manual_seed(seed)
    moments = vae_moments(parts.vae, images, IMAGE_SIZE)
    shape = moments[:, : moments.shape[1] // 2].shape
    latents = sample_latents(moments, parts.vae.config.scaling_factor, torch.randn(shape, generator=generator))
    noise = torch.randn(shape, generator=generator)
    timesteps = torch.randint(1000, (len(images),), generator=generator)
    noisy = parts.scheduler.add_noise(latents, noise, timesteps)
    encode = load_text_encoder(folder)
    context = encode(captions)
    empty = encode([""]).expand_as(context)
    errors = {"timestep": timesteps.numpy()}
    for name, prompt in (("right", context), ("shuffled", context.roll(-1, 0)), ("empty", empty)):
        batches = (t.split(128) for t in (noisy, timesteps, prompt))
        guess = torch.cat([predict_noise(parts.unet.eval(), *batch) for batch in zip(*batches)])
        errors[name] = F.mse_loss(guess, noise, reduction="none").flatten(1).mean(1).numpy()
    return errors


def sample_pictures(folder: Path, captions: list[str], steps: int = 30, guidance: float = 3.0, seed: int = 0) -> Tensor:
    """Pictures drawn from captions by diffusers' own pipeline with DDIM, uint8 [N, 3, 32, 32]."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(seed)
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    pictures = pipe(
        captions, num_inference_steps=steps, guidance_scale=guidance, generator=generator, output_type="np", **size
    ).images
    return torch.from_numpy((pictures * 255).round().astype(np.uint8)).permute(0, 3, 1, 2)


@lru_cache(maxsize=1)
def torso_mask() -> np.ndarray:
    """Where the upper garment is likely, bool [32, 32]: what shows it in more than six in ten of 300 people of the
    web in a well-placed box. They turn and carry things, so no place shows it in all of them (the drawing code
    knows)."""
    box = slice(MARGIN, MARGIN + BOX_HEIGHT), slice(MARGIN, MARGIN + BOX_WIDTH)
    shots = [web_sample(k).shot for k in range(300)]
    labels = np.stack([draw_labels(shot.person, shot.pose)[box] for shot in shots])
    share = torch.from_numpy(np.isin(labels, (TOP, TOP_SHADE)).mean(0, dtype=np.float32))
    return F.interpolate(share[None, None], size=(IMAGE_SIZE, IMAGE_SIZE), mode="area")[0, 0].numpy() > 0.6


def torso_colours(images: Tensor) -> list[str]:
    """The colour word nearest (in RGB) to the mean colour of the torso, for uint8 images [N, 3, 32, 32]."""
    means = np.asarray(images)[:, :, torso_mask()].mean(2)  # [N, 3]
    words, values = list(COLOURS), np.array(list(COLOURS.values()), float)
    return [words[k] for k in np.linalg.norm(means[:, None] - values, axis=2).argmin(1)]


def colour_captions(each: int) -> tuple[list[str], list[str]]:
    """`each` captions per colour word, and their words: the garments and places vary."""
    garments, places = ("jacket", "shirt", "t-shirt", "coat"), ("street", "plaza", "park", "indoor")
    words = [word for word in COLOURS for _ in range(each)]
    captions = [f"a person in a {w} {garments[k % 4]} , {places[k // 4 % 4]}" for w in COLOURS for k in range(each)]
    return captions, words


def colour_follows_caption(images: Tensor, words: list[str]) -> dict[str, float]:
    """Share of images whose torso is nearest to the colour word they should have, in percent, the
    "chance" of a picture that ignores its caption, and "low" and "high", the 95 % Wilson interval."""
    from scipy import stats

    hits = sum(found == word for found, word in zip(torso_colours(images), words))
    interval = stats.binomtest(hits, len(words)).proportion_ci(0.95, method="wilson")
    shares = {"share": hits / len(words), "low": interval.low, "high": interval.high, "chance": 1 / len(COLOURS)}
    return {name: 100 * float(value) for name, value in shares.items()}


def weight_files(root: Path) -> dict[str, dict]:
    """Bytes and SHA-256 of every safetensors file below `root`."""
    files = sorted(root.rglob("*.safetensors"))
    facts = lambda data: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}  # noqa: E731
    return {str(f.relative_to(root)): facts(f.read_bytes()) for f in files}


def report(
    clip: str | Path = LITE.clip,
    stable_diffusion: str | Path = LITE.stable_diffusion,
    count: int = 1000,
    each: int = 16,
) -> dict:
    """Every number of the model card: `count` held-out people, `each` samples per colour word. CLIP is asked about
    `short` captions, Stable Diffusion about `full` ones, as each was trained."""
    import open_clip

    folder = Path(stable_diffusion)
    images, short = web_images(HELD_OUT, count)
    second, _ = web_images(HELD_OUT, count, photo=1)
    full = [web_sample(HELD_OUT + k, writer="full").caption for k in range(count)]
    vae = load_stable_diffusion(folder, IMAGE_SIZE).vae
    x, again = reconstruct(vae, images, IMAGE_SIZE)
    linear = reconstruct_linearly(vae, images, IMAGE_SIZE)
    model, tokenizer = load_clip(clip, LITE.image_size).eval(), open_clip.get_tokenizer(f"local-dir:{clip}")
    errors = conditional_error(folder, images, full)
    asked, words = colour_captions(each)
    true_words = [web_sample(HELD_OUT + k).appearance.top.colour for k in range(count)]
    return {
        "pictures": count,
        "psnr": float(psnr(x, again, 2).mean()),
        "psnr_linear": float(psnr(x, linear, 2).mean()),
        "retrieval": caption_retrieval(model, tokenizer, images, short),
        "photographs": photograph_retrieval(image_features(model, images), image_features(model, second)),
        "photographs_by_colour": photograph_retrieval(
            *(torch.from_numpy(stripe_histograms(x.numpy())) for x in (images, second))
        ),
        "error": {name: float(errors[name].mean()) for name in ("right", "shuffled", "empty")},
        "shuffled_minus_right": paired_interval(errors["shuffled"], errors["right"]),
        "empty_minus_right": paired_interval(errors["empty"], errors["right"]),
        "colour_of_samples": colour_follows_caption(sample_pictures(folder, asked), words),
        "colour_of_photographs": colour_follows_caption(((x + 1) * 127.5).round().to(torch.uint8), true_words),
    }
