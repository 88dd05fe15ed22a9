"""The trained encoder alone, to take along: as a folder (safetensors and config.json), on the hub, or as ONNX.

from dcac_lite import FeatureExtractor
extractor = FeatureExtractor.from_pretrained("my-encoder")
features = extractor.features(["query.jpg", "gallery/"])

python -m dcac_lite export RUN_FOLDER OUT [--onnx]
"""

import argparse
import json
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from PIL import Image
from torch import Tensor, nn

from ..augment import normalise, to_tensor
from ..data.decoding import open_image, upright_rgb
from ..encoder import ReIDModel
from ..lean import lean_visual
from ..paths import replacing
from ..pretrained.clip import build_visual, visual_architecture
from ..pretrained.files import load_exactly, read_json, read_tensors, write_tensors

PICTURES = (".jpg", ".jpeg", ".png")
ONNX_TOLERANCE = 1e-4


class FeatureExtractor(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="dcac-lite",
    tags=["person-re-identification", "image-feature-extraction"],
):
    """CLIP image encoder and BN neck, without classifier and diffusion model: all that a test needs.

    architecture: the image tower's sizes, see `pretrained.clip.visual_architecture`. resize: filter that brings
    pictures to that size, "bicubic" or "bilinear"."""

    def __init__(self, architecture: dict, resize: str = "bicubic"):
        super().__init__()
        if resize not in ("bicubic", "bilinear"):
            raise ValueError(f"resize is {resize!r}; expected 'bicubic' or 'bilinear'.")
        self.resize = resize
        self.visual = lean_visual(build_visual(architecture))
        self.neck = nn.BatchNorm1d(self.visual.output_dim)
        self.requires_grad_(False).eval()

    @classmethod
    def from_reid(cls, reid: ReIDModel, resize: str = "bicubic") -> "FeatureExtractor":
        """A copy of a `ReIDModel`'s encoder and neck."""
        extractor = cls(visual_architecture(reid.visual), resize)
        state = {name: tensor for name, tensor in reid.state_dict().items() if not name.startswith("classifier.")}
        load_exactly(extractor, state, "the Re-ID model")
        return extractor

    @classmethod
    def from_run(cls, run) -> "FeatureExtractor":
        """The encoder of an `runs.Run`, trained here or converted, with the filter of its evaluation."""
        return cls.from_reid(run.reid(), run.experiment.test_resize)

    def forward(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, H, W] at the model's own size -> unit-length features, float32 [B, d]."""
        return F.normalize(self.neck(self.visual(normalise(images)).float()))

    @torch.no_grad()
    def features(self, images, batch: int = 256) -> Tensor:
        """Unit-length features, float32 [M, d] on the CPU, of one image, a batch, a folder or a list of these.

        An image is a path, a PIL image, a uint8 array [H, W, 3] or a uint8 tensor [3, H, W]; a batch
        has one dimension more. Folders are read in the order of their file names. Every image is
        brought to the model's size by the filter `resize`. Equal to `ReIDModel.features` on the same pixels.

        Raises FileNotFoundError, TypeError, or ValueError as `decoding.open_image` does, for PIL images too."""
        if batch < 1:
            raise ValueError(f"batch is {batch}; expected at least 1 image at a time.")
        device, size = next(self.parameters()).device, tuple(self.visual.image_size)
        if isinstance(images, Tensor) and images.dim() == 4 and tuple(images.shape[2:]) == size:
            _check_pixels(images, images.shape[1] == 3)
            chunks = (images[start : start + batch] for start in range(0, len(images), batch))
        else:
            pictures = (to_tensor(_fit(picture, size, self.resize)) for picture in _pictures(images))
            chunks = (torch.stack(chunk) for chunk in iter(lambda: list(islice(pictures, batch)), []))
        parts = [self(chunk.to(device)).cpu() for chunk in chunks]
        if not parts:
            raise ValueError("There is no image to describe; expected at least one.")
        return torch.cat(parts)

    def export_onnx(self, path: str | Path) -> float:
        """Write the model as one ONNX file, input `images` uint8 [batch, 3, H, W], output `features` float32
        [batch, d], batch of any size. onnxruntime computes it before it takes its name.

        Returns the largest difference to torch; raises RuntimeError when that is above 1e-4."""
        import onnxruntime

        path = Path(path)
        model = FeatureExtractor(visual_architecture(self.visual))  # a copy on the CPU
        load_exactly(model, self.state_dict(), "the feature extractor")
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (3, 3, *self.visual.image_size), dtype=torch.uint8, generator=generator)
        with replacing(path) as temporary:
            torch.onnx.export(
                model,
                (images,),
                temporary,
                input_names=["images"],
                output_names=["features"],
                dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
                dynamo=True,
                external_data=False,
                verbose=False,
            )
            session = onnxruntime.InferenceSession(temporary, providers=["CPUExecutionProvider"])
            difference = 0.0
            for count in (1, 3):
                (computed,) = session.run(None, {"images": images[:count].numpy()})
                with torch.no_grad():
                    difference = max(difference, float(np.abs(computed - model(images[:count]).numpy()).max()))
            if not difference <= ONNX_TOLERANCE:
                raise RuntimeError(
                    f"{path}: ONNX differs from torch by {difference:.1e}, more than {ONNX_TOLERANCE:g}; nothing was "
                    "written."
                )
        return difference

    def _save_pretrained(self, save_directory: Path) -> None:
        write_tensors(self.state_dict(), save_directory / "model.safetensors")
        with replacing(save_directory / "config.json") as temporary:
            temporary.write_text(
                json.dumps({"architecture": visual_architecture(self.visual), "resize": self.resize}, indent=1)
            )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options) -> "FeatureExtractor":
        """A saved extractor, in evaluation mode: a folder, or the id of a hub repository (see
        `PyTorchModelHubMixin.from_pretrained`). Loading is strict.

        Raises FileNotFoundError, or ValueError naming the file and tensor that is wrong."""
        folder = Path(pretrained_model_name_or_path)
        if folder.is_dir():
            described = folder / "config.json"
            if "architecture" not in read_json(described):
                raise ValueError(
                    f"{described} has no 'architecture'; expected a folder written by FeatureExtractor.save_pretrained."
                )
            if not (folder / "model.safetensors").is_file():
                raise FileNotFoundError(f"{folder / 'model.safetensors'} does not exist; the folder is not complete.")
        elif folder.is_absolute() or len(folder.parts) != 2:
            raise FileNotFoundError(f"{folder} does not exist; expected a folder or a hub id OWNER/NAME.")
        try:
            return super().from_pretrained(pretrained_model_name_or_path, **options)
        except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError) as error:
            raise FileNotFoundError(
                f"{folder} is no folder here and cannot be had from the hub ({type(error).__name__}); expected a "
                "folder written by FeatureExtractor.save_pretrained, or a hub id OWNER/NAME."
            ) from error

    @classmethod
    def _from_pretrained(
        cls, *, model_id, revision, cache_dir, force_download, local_files_only, token, map_location="cpu", **sizes
    ) -> "FeatureExtractor":
        from huggingface_hub import hf_hub_download

        file = Path(model_id) / "model.safetensors"
        if not Path(model_id).is_dir():
            file = hf_hub_download(
                model_id,
                file.name,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
            )
        extractor = cls(**sizes)
        load_exactly(extractor, read_tensors(Path(file)), file)
        return extractor.to(map_location)


def _pictures(images):
    """uint8 arrays [h, w, 3], one for each image in `images`."""
    if isinstance(images, (list, tuple)):
        for image in images:
            yield from _pictures(image)
    elif isinstance(images, (str, Path)):
        path = Path(images)
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist; expected an image or a folder of images.")
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES) if path.is_dir() else [path]
        if not files:
            raise ValueError(f"{path} holds no image; expected files ending in {', '.join(PICTURES)}.")
        yield from (np.asarray(open_image(file)) for file in files)
    elif isinstance(images, Image.Image):
        yield np.asarray(upright_rgb(images))
    elif isinstance(images, Tensor):
        _check_pixels(images, images.dim() in (3, 4) and images.shape[-3] == 3)
        array = images.cpu().numpy()
        yield from array.reshape(-1, *array.shape[-3:]).transpose(0, 2, 3, 1)
    elif isinstance(images, np.ndarray):
        _check_pixels(images, images.ndim in (3, 4) and images.shape[-1] == 3)
        yield from images.reshape(-1, *images.shape[-3:])
    else:
        kind = type(images).__name__
        raise TypeError(
            f"{kind} is no image; expected a path, a folder, a PIL image, a uint8 array or tensor, or a list of these."
        )


def _check_pixels(images, right_shape: bool) -> None:
    if not right_shape or images.dtype not in (torch.uint8, np.uint8):
        raise ValueError(
            f"{type(images).__name__} of {images.dtype} {list(images.shape)} is no image; expected uint8, a tensor [B, "
            "3, H, W] or an array [B, H, W, 3] with or without B."
        )


def _fit(image: np.ndarray, size: tuple[int, int], resize: str) -> np.ndarray:
    """uint8 [h, w, 3] -> [3, H, W] of `size`, resized as `data.decoding` resizes a file."""
    if image.shape[:2] != size:
        image = np.asarray(
            Image.fromarray(np.ascontiguousarray(image)).resize(size[::-1], Image.Resampling[resize.upper()])
        )
    return image.transpose(2, 0, 1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="folder of a finished or converted run")
    parser.add_argument("out", help="folder to write")
    parser.add_argument("--onnx", action="store_true", help="also write OUT/model.onnx and check it with onnxruntime")
    parser.set_defaults(call=_export)


def _export(arguments: argparse.Namespace) -> None:
    """A finished run's encoder to a folder, and to ONNX beside it."""
    from ..runs import Run

    try:
        extractor = FeatureExtractor.from_run(Run(Path(arguments.run)))
        extractor.save_pretrained(arguments.out)
        print(
            f"{arguments.out}: features of {extractor.visual.output_dim} numbers from images of "
            f"{list(extractor.visual.image_size)}."
        )
        if arguments.onnx:
            difference = extractor.export_onnx(Path(arguments.out) / "model.onnx")
            print(f"{arguments.out}/model.onnx: differs from torch by at most {difference:.1e}.")
    except RuntimeError as error:  # ONNX is not exact, which is no fault of the input
        raise SystemExit(str(error)) from None
