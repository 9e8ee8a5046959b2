"""ResNet18; see `residual`."""

from __future__ import annotations

from vadgen.backbones.residual import Layout, backbone

# torchvision's ResNet18_Weights.IMAGENET1K_V1; the name carries the digest's first digits.
_URL = "https://download.pytorch.org/models/resnet18-f37072fd.pth"

BACKBONE = backbone("resnet18", Layout((2, 2, 2, 2)), _URL, "f37072fd")
