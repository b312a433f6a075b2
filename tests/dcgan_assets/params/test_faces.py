"""The faces' sections: each rule holds, and each mistake names its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dcgan_assets.params.faces import FaceBoxes, FacePhotographs
from dcgan_assets.sources.faces.detectors import DetectorFile

MODEL = {"name": "yunet", "model": "models/yunet.onnx", "model_sha256": "ab" * 32}


def boxes(**content: Any) -> FaceBoxes:
    return FaceBoxes.model_validate(content)


def test_the_default_is_the_papers_kind(tmp_path: Path) -> None:
    rules = boxes().rules(tmp_path)
    assert rules.detector == DetectorFile("haar_alt2")
    assert rules.second is None
    assert (rules.min_face, rules.margin) == (64, 0.5)


def test_every_setting_reaches_the_rules(tmp_path: Path) -> None:
    content = {
        "min_face": 96,
        "max_aspect": 1.25,
        "margin": 0.25,
        "min_sharpness": 80.0,
    }
    rules = boxes(detector=MODEL, second={"name": "haar_alt2"}, **content).rules(tmp_path)
    assert rules.detector == DetectorFile("yunet", tmp_path / "models/yunet.onnx", "ab" * 32)
    assert rules.second == DetectorFile("haar_alt2")
    assert {name: getattr(rules, name) for name in content} == content


def test_identity_has_the_models_content_and_not_its_place() -> None:
    here, there = (boxes(detector={**MODEL, "model": path}) for path in ("a.onnx", "b.onnx"))
    other = boxes(detector={**MODEL, "model_sha256": "cd" * 32})
    assert here.identity() == there.identity() != other.identity()
    assert boxes().identity() != boxes(margin=0.6).identity()
    assert boxes(second=MODEL).identity()["second"] == {
        "name": "yunet",
        "model_sha256": "ab" * 32,
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"detector": {"name": "haar"}}, "haar_alt2"),
        ({"detector": {"name": "yunet"}}, "`model_sha256`"),
        ({"detector": {"name": "haar_alt2", "model": "x"}}, "only there"),
        ({"detector": {**MODEL, "model_sha256": "AB" * 32}}, "64 digits"),
        ({"second": {"name": "haar_alt2"}}, "the same detector"),
        ({"min_face": 8}, "greater than or equal to 16"),
        ({"min_face": 64.5}, "integer"),
        ({"margin": 1.5}, "less than or equal to 1"),
        ({"max_aspect": 0.5}, "greater than or equal to 1"),
        ({"min_sharpness": -1.0}, "greater than or equal to 0"),
        ({"min_face": 47}, "haar_alt2 finds no face below 48"),
        (
            {"min_face": 47, "detector": MODEL, "second": {"name": "haar_default"}},
            "haar_default finds no face below 48",
        ),
        ({"working_side": 512}, "working_side"),
        ({"cascade": "x"}, "cascade"),
    ],
)
def test_mistakes(content: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        boxes(**content)


def test_packaged_photographs() -> None:
    assert FacePhotographs().names == 200
    with pytest.raises(ValidationError, match="less than or equal to 400"):
        FacePhotographs.model_validate({"names": 401})
