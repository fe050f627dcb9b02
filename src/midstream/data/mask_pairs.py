"""Which file is the mask of which image: by their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from midstream.data.folder import IMAGE_SUFFIXES, visible_files
from midstream.data.label_maps import MAP_SUFFIXES
from midstream.data.listed import images_by_stem
from midstream.errors import InputError

#: What separates an image's name from an ending that says that a file is its mask: NAME_mask, NAME.labels, NAME (seg).
_SEPARATORS = "_-. ("


def paired(
    images: Path, masks: Path, suffixes: Sequence[str] = MAP_SUFFIXES, what: str = "mask"
) -> tuple[list[tuple[Path, Path]], list[Path], str]:
    """The images of a folder with their masks, those without, and what all masks have behind the image's name.

    A mask is called as its image, or so with an ending such as `_mask` that all of them have. Both may be in one
    folder: then an image is never its own mask, and a mask no image.

    Args:
        images, masks: the folders.
        suffixes: of the masks' files.
        what: they are, for messages.

    Raises:
        InputError: no image has a mask, two images have one name, or two endings are equally common.
    """
    maps = visible_files(masks, suffixes)
    one_folder = images.resolve() == masks.resolve()
    photos = _photos_beside(images, maps) if one_folder else images_by_stem(images)
    ending = _ending(photos, maps, masks)
    by_name = {path.stem: path for path in maps}
    pairs = [(path, by_name[stem + ending]) for stem, path in photos.items() if stem + ending in by_name]
    if not pairs:
        raise InputError(
            f"no image in {images} has a {what} of its name in {masks}: NAME{suffixes[0]}, or NAME and an ending, "
            f"NAME_{what}{suffixes[0]}"
        )
    return pairs, [path for stem, path in photos.items() if stem + ending not in by_name], ending


def _photos_beside(folder: Path, maps: list[Path]) -> dict[str, Path]:
    """By name, the images of a folder that are no masks of others."""
    files = visible_files(folder, IMAGE_SUFFIXES)
    lossy = {path.stem: path for path in files if path.suffix.lower() not in MAP_SUFFIXES}
    if lossy:
        return lossy
    names = {path.stem for path in files}
    longer = {path.stem for path in maps if any(path.stem[:at] in names for at in _cuts(path.stem))}
    return {path.stem: path for path in files if path.stem not in longer}


def _ending(photos: dict[str, Path], maps: list[Path], folder: Path) -> str:
    """What most masks have behind their image's name; nothing where some are called as their image."""
    if any(path.stem in photos and path != photos[path.stem] for path in maps):
        return ""
    endings = Counter(path.stem[at:] for path in maps for at in _cuts(path.stem) if path.stem[:at] in photos)
    if not endings:
        return ""
    (ending, most), *others = endings.most_common(2)
    if others and others[0][1] == most:
        raise InputError(f"are the masks in {folder} NAME{ending}.* or NAME{others[0][0]}.*? Leave one kind there")
    return ending


def _cuts(stem: str) -> list[int]:
    return [at for at in range(1, len(stem)) if stem[at] in _SEPARATORS]
