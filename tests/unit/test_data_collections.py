"""Data sets of many parts: their layouts, in small trees made here, and what is said of gaps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from parts import part, save, spotted, write_labelled

from vadgen.data import elpv, realiad
from vadgen.data.collections import KINDS, open_collection
from vadgen.data.dataset import Dataset
from vadgen.errors import Exit, VadgenError

RNG = np.random.default_rng(0)


def write_visa(root: Path, parts: tuple[str, ...] = ("candle", "pcb1")) -> Path:
    """VisA: pictures by label, masks of anomalies, and the one-class split."""
    rows = ["object,split,label,image,mask"]
    for name in parts:
        data = f"{name}/Data"
        for i in range(6):
            image = f"{data}/Images/Normal/{i:04}.JPG"
            save(root / image, part(RNG))
            rows.append(f"{name},{'train' if i < 4 else 'test'},normal,{image},")
        for i in range(2):
            image, mask = f"{data}/Images/Anomaly/{i:03}.JPG", f"{data}/Masks/Anomaly/{i:03}.png"
            picture, spot = spotted(RNG)
            save(root / image, picture)
            save(root / mask, spot * (i + 1))  # masks hold the number of the defect's kind
            rows.append(f"{name},test,anomaly,{image},{mask}")
        rows.append(rows.pop(-3))  # a normal picture right after an anomaly
    (root / "split_csv").mkdir()
    (root / "split_csv" / "1cls.csv").write_text("\n".join(rows) + "\n")
    return root


def write_realiad(root: Path, parts: tuple[str, ...] = ("toy", "usb")) -> Path:
    """Real-IAD: two views of each sample, JSON splits."""
    for name in parts:
        folder = root / "realiad_256" / name
        split: dict[str, object] = {"meta": {"normal_class": "OK", "prefix": f"{name}/"}}
        train, test = [], []
        for sample in range(3):
            for view in ("C1", "C2"):
                image = f"OK/S{sample:04}/{name}_{sample:04}_OK_{view}_20231021.jpg"
                save(folder / image, part(RNG))
                row = {"category": name, "anomaly_class": "OK", "image_path": image}
                (train if sample < 2 else test).append({**row, "mask_path": None})
        for view in ("C1", "C2"):
            image = f"NG/AK/S0009/{name}_0009_NG_AK_{view}_20231021.jpg"
            mask = image.replace("jpg", "png")
            picture, spot = spotted(RNG)
            save(folder / image, picture)
            save(folder / mask, spot * 255)
            test.append({"anomaly_class": "AK", "image_path": image, "mask_path": mask})
        split |= {"train": train, "test": test}
        path = root / "realiad_jsons" / "realiad_jsons" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(split))
    return root


def write_elpv(root: Path) -> Path:
    """ELPV: `labels.csv` with probabilities of a defect."""
    lines = []
    chances = [0.0] * 10 + [1 / 3, 2 / 3, 1.0]
    for i, chance in enumerate(chances):
        save(root / "images" / f"cell{i:04}.png", part(RNG)[..., 0])
        lines.append(
            f"images/cell{i:04}.png  {chance}                 {'mono' if i > 1 else 'poly'}"
        )
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def counts(dataset: Dataset) -> tuple[int, int, int, int]:
    """Train, test good, test anomalous, masks."""
    bad = [item for item in dataset.test if item.is_anomalous]
    masks = [item for item in dataset.test if item.mask is not None]
    assert all(item.is_anomalous for item in masks)
    return len(dataset.train), len(dataset.test) - len(bad), len(bad), len(masks)


def test_mvtec_of_many_parts_and_of_one(tmp_path: Path) -> None:
    for name in ("bottle", "screw"):
        write_labelled(tmp_path / name)
    (tmp_path / "license.txt").touch()
    found = open_collection("mvtec", [tmp_path])
    assert [d.name for d in found] == ["bottle", "screw"]
    assert counts(found[0]) == (12, 4, 4, 4)
    (alone,) = open_collection("mvtec", [tmp_path / "screw"])
    assert alone.sha256() == found[1].sha256()


def test_visa_masks_belong_to_their_own_rows(tmp_path: Path) -> None:
    found = open_collection("visa", [write_visa(tmp_path)])
    assert [d.name for d in found] == ["candle", "pcb1"]
    assert counts(found[0]) == (4, 2, 2, 2)
    assert {item.mask.name for item in found[0].test if item.mask} == {"000.png", "001.png"}
    assert len(found[0].sha256()) == 64


def test_real_iad_splits_and_views(tmp_path: Path) -> None:
    root = write_realiad(tmp_path)
    found = open_collection("realiad", [root])
    assert [d.name for d in found] == ["toy", "usb"]
    assert counts(found[0]) == (4, 2, 2, 2)
    assert {item.label for item in found[0].test} == {"good", "AK"}
    (one, _) = open_collection("realiad", [root], views=["C2"])
    assert counts(one) == (2, 1, 1, 1)
    assert all("_C2_" in path.name for path in one.train)


def test_elpv_splits_certain_cells_once(tmp_path: Path) -> None:
    root = write_elpv(tmp_path)
    mono, poly = open_collection("elpv", [root])
    assert counts(mono) == (6, 3, 2, 0)
    assert {item.label for item in mono.test} == {"good", "likely_defective", "defective"}
    assert open_collection("elpv", [root])[0] == mono
    assert counts(poly) == (1, 1, 0, 0)


def test_folder_takes_what_is_no_other_data_set(tmp_path: Path) -> None:
    write_visa(tmp_path / "visa")
    save(tmp_path / "mine" / "0.png", part(RNG))
    write_labelled(tmp_path / "theirs")
    roots = [tmp_path / "visa", tmp_path / "mine", tmp_path / "theirs"]
    assert [d.name for d in open_collection("folder", roots)] == ["mine", "theirs"]


@pytest.mark.parametrize("name", ["mvtec", "visa", "realiad"])
def test_a_missing_data_set_says_its_layout_and_source(name: str, tmp_path: Path) -> None:
    with pytest.raises(VadgenError, match="its root holds") as caught:
        open_collection(name, [tmp_path])
    assert KINDS[name].title in caught.value.message
    assert KINDS[name].source in caught.value.hint


def test_elpv_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elpv.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(VadgenError, match="not installed") as caught:
        open_collection("elpv", [])
    assert caught.value.code == Exit.TOOL_MISSING and "vadgen[elpv]" in caught.value.hint


def test_missing_files_are_counted(tmp_path: Path) -> None:
    root = write_visa(tmp_path / "v")
    (root / "candle/Data/Images/Normal/0001.JPG").unlink()
    (root / "candle/Data/Masks/Anomaly/000.png").unlink()
    with pytest.raises(VadgenError, match=r"candle: 2 of 10 files are missing, such as .*0001"):
        open_collection("visa", [root])


def test_damaged_splits(tmp_path: Path) -> None:
    root = write_realiad(tmp_path / "r")
    (root / "realiad_jsons/realiad_jsons/toy.json").write_text('{"train": []}')
    with pytest.raises(VadgenError, match="no Real-IAD split"):
        realiad.load(root)
    visa = write_visa(tmp_path / "v")
    (visa / "split_csv/1cls.csv").write_text("a,b\n")
    with pytest.raises(VadgenError, match="has no columns"):
        open_collection("visa", [visa])
    cells = write_elpv(tmp_path / "e")
    (cells / "labels.csv").write_text("images/cell0000.png 0.0\n")
    with pytest.raises(VadgenError, match="damaged"):
        open_collection("elpv", [cells])


def test_unknown_names_and_folders(tmp_path: Path) -> None:
    with pytest.raises(VadgenError, match="unknown data set 'vissa'") as caught:
        open_collection("vissa", [tmp_path])
    assert "visa" in caught.value.hint
    with pytest.raises(VadgenError, match="no such folder"):
        open_collection("mvtec", [tmp_path / "nowhere"])
