"""Small data sets written in the true format of each published one, from seeded noise that a model can learn."""

from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import scipy.io
from PIL import Image

Size = tuple[int, int]

# True paths of the published lists, with their double slashes; {} is a number that keeps them apart.
SUNRGBD_PATHS = (
    "SUNRGBD/kv2/kinect2data/{0:06d}_2014-05-26_14-{0:02d}-37_260595134347_rgbf000103-resize/image/0000103.jpg",
    "SUNRGBD/kv1/NYUdata/NYU{0:04d}//image/NYU{0:04d}.jpg",
    "SUNRGBD/xtion/sun3ddata/mit_32_d507_{0}/d507_1/0000008-000000234612//image/0000008-000000234612.jpg",
    "SUNRGBD/realsense/lg/2014_10_24-09_{0:02d}_34-1311000073//image/0000063.jpg",
    "SUNRGBD/kv1/b3dodata/img_{0:04d}//image/img_{0:04d}.jpg",
)


def draw(rng: np.random.Generator, size: Size, classes: int, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """An image uint8 [H, W, C] and its labels uint8 [H, W]: upright bands whose brightness tells the class."""
    bands = rng.integers(0, classes, 4)
    labels = np.repeat(bands, -(-size[1] // 4))[None, : size[1]].repeat(size[0], axis=0).astype(np.uint8)
    tone = labels[..., None] * (230 / max(classes - 1, 1))
    image = np.clip(tone + rng.normal(12, 4, (*size, channels)), 0, 255).astype(np.uint8)
    return image, labels


def save_pair(image: np.ndarray, labels: np.ndarray, image_path: Path, label_path: Path | None = None) -> None:
    """Write an image, and its labels as a grey picture if it has a path."""
    image_path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(image_path)
    if label_path is not None:
        label_path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels).save(label_path)


def write_voc2012(root: Path, train: int = 8, validation: int = 4, size: Size = (32, 40), seed: int = 0) -> Path:
    """VOCdevkit/VOC2012 with palette masks, void borders, the lists, and one image without a mask; returns the root."""
    rng = np.random.default_rng(seed)
    voc = root / "VOCdevkit" / "VOC2012"
    names = [f"2007_{number:06d}" for number in range(1, train + validation + 1)]
    # The palette of VOC: bits of the label go to the high bits of red, green and blue in turn.
    palette = [
        sum(((label >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(3))
        for label in range(256)
        for channel in range(3)
    ]
    for name in names:
        # Upright and lying images alternate, as the sizes of VOC differ.
        image, labels = draw(rng, size if int(name[-1]) % 2 else size[::-1], 21)
        labels[:, ::10] = 255
        save_pair(image, labels, voc / "JPEGImages" / f"{name}.jpg")
        mask = Image.fromarray(labels).convert("P")
        mask.putdata(labels.ravel().tolist())
        mask.putpalette(palette)
        (voc / "SegmentationClass").mkdir(exist_ok=True)
        mask.save(voc / "SegmentationClass" / f"{name}.png")
    save_pair(*draw(rng, size, 21), voc / "JPEGImages" / "2008_000001.jpg")
    lists = voc / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for list_name, listed in (("train", names[:train]), ("val", names[train:]), ("trainval", names)):
        (lists / f"{list_name}.txt").write_text("".join(f"{name}\n" for name in listed))
    return root


def write_sunrgbd(
    root: Path,
    training: int = 10,
    testing: int = 5,
    labels: Literal["scene", "numbered", "mat", "archives"] = "scene",
    lists: bool = True,
    size: Size = (32, 40),
    seed: int = 0,
) -> Path:
    """SUN RGB-D's tree (or its three archives) with labels 0 to 37, 0 unlabelled; returns the root."""
    rng = np.random.default_rng(seed)
    paths = [SUNRGBD_PATHS[n % len(SUNRGBD_PATHS)].format(5 * n % 59 + 1) for n in range(testing + training)]
    root.mkdir(parents=True, exist_ok=True)
    masks = []
    for number, path in enumerate(paths):
        image, mask = draw(rng, size, 37)
        mask += 1
        mask[:4] = 0
        masks.append(mask)
        if labels == "archives":
            within = number + 1 if number < testing else number + 1 - testing
            place = root / ("SUNRGBD-test_images" if number < testing else "SUNRGBD-train_images")
            save_pair(image, mask, place / f"img-{within:06d}.jpg")
        else:
            place = root / path
            save_pair(image, mask, place, place.parent.parent / "label37" / "label.png" if labels == "scene" else None)
        if labels in ("archives", "numbered"):
            numbered = root / "sunrgbd_train_test_labels" / f"img-{number + 1:06d}.png"
            numbered.parent.mkdir(exist_ok=True)
            Image.fromarray(mask).save(numbered)
    if labels == "mat":
        write_sunrgbd_mat(root / "SUNRGBDtoolbox" / "Metadata" / "SUNRGBD2Dseg.mat", masks)
    if lists:
        (root / "sunrgbd_testing_images.txt").write_text("\n".join(paths[:testing]) + "\n")
        (root / "sunrgbd_training_images.txt").write_text("\n".join(paths[testing:]) + "\n")
    return root


def write_sunrgbd_mat(path: Path, masks: list[np.ndarray]) -> None:
    """A struct array as MATLAB 7.3 stores it: a group whose field holds references to transposed arrays."""
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        references = file.create_dataset("SUNRGBD2Dseg/seglabel", (len(masks), 1), h5py.ref_dtype)
        for number, mask in enumerate(masks):
            references[number, 0] = file.create_dataset(f"#refs#/{number}", data=mask.T).ref


def write_nyuv2(root: Path, images: int = 12, mat: bool = False, size: Size = (32, 40), seed: int = 0) -> Path:
    """image/ and label40/, or the official file with its mapping; splits.mat: every third image for test."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    pairs = [draw(rng, size, 40) for _ in range(images)]
    for _, labels in pairs:
        labels[:3] = 255
    numbers = np.arange(1, images + 1)[:, None]
    test = numbers[2::3]
    scipy.io.savemat(root / "splits.mat", {"trainNdxs": np.setdiff1d(numbers, test)[:, None], "testNdxs": test})
    if not mat:
        for number, (image, labels) in enumerate(pairs, start=1):
            save_pair(image, labels, root / "image" / f"{number:06d}.png", root / "label40" / f"{number:06d}.png")
        return root
    # Label n of the official file is class (n - 1) mod 40 here; 0 is unlabelled.
    scipy.io.savemat(root / "classMapping40.mat", {"mapClass": (np.arange(894) % 40 + 1)[None].astype(np.uint8)})
    stored = [
        np.where(labels == 255, 0, labels.astype(np.uint16) + 1 + 40 * (n % 5)) for n, (_, labels) in enumerate(pairs)
    ]
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w", userblock_size=512) as file:
        file["images"] = np.stack([image.transpose(2, 1, 0) for image, _ in pairs])
        file["labels"] = np.stack([labels.T for labels in stored]).astype(np.uint16)
        scenes = file.create_dataset("scenes", (1, images), h5py.ref_dtype)
        for n in range(images):
            codes = np.array([[ord(letter)] for letter in f"kitchen_{n // 2:04d}"], dtype=np.uint16)
            scenes[0, n] = file.create_dataset(f"#refs#/{n}", data=codes).ref
    return root


def write_npz(
    path: Path, images: int = 20, unlabelled: int = 5, size: Size = (64, 128), dtype: str = "uint8", seed: int = 0
) -> Path:
    """The Mars file: `training_set` [N, 2, H, W] of image and mask, and an unlabelled `test_set`; returns the file."""
    rng = np.random.default_rng(seed)
    pairs = [draw(rng, size, 5, channels=1) for _ in range(images + unlabelled)]
    stacked = np.stack([[image[..., 0], labels] for image, labels in pairs]).astype(dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, training_set=stacked[:images], test_set=stacked[images:, 0])
    return path
