"""Pre-trained weights of others: from the weights folder, the hub's local cache, or the network."""

from pathlib import Path

from ..paths import weights_root
from .files import some

#: What is fetched unless a caller names another revision: the commits that this package was written with.
REVISIONS = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
    "timm/vit_base_patch16_clip_224.openai": "977e3dd0ec55ab8da155f2fbeb6b5f54948b6e3d",
}


def hub_folder(repo: str, files: list[str], revision: str | None = None) -> Path:
    """A folder that holds `files` of the hub's repository `repo` (OWNER/NAME): `weights_root()/NAME` if
    there is one, else the hub's local cache, else fetched at `revision`; None is that of REVISIONS, or the newest.

    Raises FileNotFoundError with the command that fetches what is missing; without a network at once."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    own = weights_root() / repo.rpartition("/")[2]
    revision = revision or REVISIONS.get(repo)
    command = f"`hf download {repo} {' '.join(files)}{f' --revision {revision}' if revision else ''} --local-dir {own}`"
    if own.is_dir():
        if absent := [name for name in files if not (own / name).is_file()]:
            raise FileNotFoundError(f"{own} lacks {some(absent)}: run {command}.")
        return own
    try:
        cached = Path(snapshot_download(repo, revision=revision, allow_patterns=files, local_files_only=True))
        if all((cached / name).is_file() for name in files):
            return cached
    except LocalEntryNotFoundError:
        pass
    try:
        # one short request first: without a network a download would retry for half a minute
        HfApi().model_info(repo, revision=revision, timeout=10)
        return Path(snapshot_download(repo, revision=revision, allow_patterns=files))
    except Exception as error:  # the errors of the hub and of its HTTP client have no common base
        raise FileNotFoundError(
            f"{repo} is neither in {own} nor in the hub's cache, and the hub cannot be reached "
            f"({type(error).__name__}): on a machine with internet run {command}, copy the folder here, or set "
            "DCAC_WEIGHTS to the folder that holds it."
        ) from error
