"""WideResNet50-2, for the host: 24 million weights up to the third tap; see `residual`."""

from __future__ import annotations

from vadgen.backbones.residual import Layout, backbone

# torchvision's Wide_ResNet50_2_Weights.IMAGENET1K_V1; the name carries the digest's first digits.
_URL = "https://download.pytorch.org/models/wide_resnet50_2-95faca4d.pth"

BACKBONE = backbone(
    "wide_resnet50_2", Layout((3, 4, 6, 3), bottleneck=2, expansion=4), _URL, "95faca4d"
)
