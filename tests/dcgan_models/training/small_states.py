"""What a small saved state holds."""

from __future__ import annotations

import torch

TENSORS = {
    "weights": torch.arange(12, dtype=torch.float32).reshape(3, 4) / 7,
    "empty": torch.empty(0),
    "count": torch.tensor(3.0),
    "random": torch.arange(40, dtype=torch.uint8),
    "missing": torch.full((2,), torch.nan),
}


FACTS = {"step": 12, "config": {"seed": 3, "rate": 0.1, "layers": [1, 2]}}


NAME = "step_000000012.safetensors"
