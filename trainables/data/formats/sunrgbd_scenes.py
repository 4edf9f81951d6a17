"""Scenes of SUN RGB-D's tree: the published lists, and which scenes show the same place."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

from trainables.data.splits import Split

# Testing before training: the order in which the labels are numbered.
LISTS = {Split.TEST: "sunrgbd_testing_images.txt", Split.TRAIN: "sunrgbd_training_images.txt"}
SENSORS = ("kv1", "kv2", "realsense", "xtion")
STAMP = re.compile(r"(\d{4})[-_](\d\d)[-_](\d\d)[-_](\d\d?)[-_](\d\d?)[-_](\d\d?)")
# Captures that follow one another within this time are taken as views of one place. In the published lists it makes
# 489 sessions of the 5,242 scenes with a time in their names, the largest of 218.
SESSION = timedelta(minutes=2)


def listed_images(root: Path, tree: Path) -> dict[Split, list[Path]]:
    """The images that the published lists name, below `tree`, testing first; empty without the two lists."""
    folders = (root, tree, root / "sunrgbd-meta-data")
    folder = next((each for each in folders if all((each / name).is_file() for name in LISTS.values())), None)
    if folder is None:
        return {}
    listed = {}
    for split, name in LISTS.items():
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        paths = [PurePosixPath(line.strip()) for line in lines if line.strip()]
        listed[split] = [tree / path.relative_to("SUNRGBD") for path in paths]
    return listed


def tree_images(tree: Path) -> list[Path]:
    """All images of the tree, sorted: SUN3D's lie two folders deeper than the others."""
    patterns = [f"{sensor}/*/*/image/*.jpg" for sensor in SENSORS] + ["xtion/sun3ddata/*/*/*/image/*.jpg"]
    return sorted(image for pattern in patterns for image in tree.glob(pattern))


def scene_name(image: Path, tree: Path) -> str:
    """The sample's name: the scene's folder below the tree, such as `kv1/NYUdata/NYU0001`."""
    return image.parent.parent.relative_to(tree).as_posix()


def groups_of(scenes: Sequence[str]) -> dict[str, str]:
    """The group of each scene, as far as names tell which show the same place.

    SUN3D: the place (xtion/sun3ddata/PLACE/...). Scenes with a date and time: the session, whatever the sensor, since
    three sensors recorded the same rooms together. NYUdata and b3dodata tell nothing: each image is its own group.
    """
    groups = {scene: "/".join(scene.split("/")[:3]) if "/sun3ddata/" in scene else scene for scene in scenes}
    timed = []
    for scene in scenes:
        match = STAMP.search(scene.rpartition("/")[2])
        if match and "/sun3ddata/" not in scene:
            year, month, day, hour, minute, second = map(int, match.groups())
            timed.append((datetime(year, month, day, hour, minute, second), scene))
    session, latest = "", datetime.min
    for time, scene in sorted(timed):
        if time - latest > SESSION:
            session = f"session {time}"
        groups[scene], latest = session, time
    return groups
