"""Small data sets in Market-1501 layout, of single colours, for tests that change them."""

from PIL import Image

from dcac_lite.data.registry import FOLDERS

SIZE = (64, 32)


def picture(path, colour=(200, 30, 90), size=(20, 40)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def market(root, train=("0001_c1", "0002_c2"), query=("0003_c1",), gallery=("0003_c2",)):
    for split, names in zip(FOLDERS, (train, query, gallery)):
        for k, name in enumerate(names):
            picture(root / FOLDERS[split] / f"{name}_{k}.jpg", (k * 40, ord(split[0]), sum(map(ord, name)) % 256))
    return root
