"""The fully convolutional networks of a VOC 2012 report: its Tables 1, 2 and 3."""

import itertools

import torch
from torch import nn

FCN_WIDTHS = (32, 64, 128, 256, 512)
UNPOOL_WIDTHS = (32, 64, 128, 256, 512, 1024)
RESNET_WIDTHS = (256, 128, 64, 32, 16)


def _down(channels: int, width: int, stride: int) -> nn.Sequential:
    """Convolution, ReLU, BatchNorm: the order of Table 1; the other tables leave the ReLU out."""
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel_size=3, stride=stride, padding=1),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(width),
    )


def _up(channels: int, width: int, stride: int) -> nn.Sequential:
    """Transposed convolution, ReLU, BatchNorm; stride 2 doubles the size exactly."""
    return nn.Sequential(
        nn.ConvTranspose2d(channels, width, kernel_size=3, stride=stride, padding=1, output_padding=stride - 1),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(width),
    )


class FCN(nn.Module):
    """Table 1: five convolutions of stride 2, five transposed ones back, a 1x1 classifier; sides multiples of 32.

    The table's last column, "dilation 1" for transposed convolutions, is taken for an output padding of 1: without it
    the sizes do not double.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(
            _down(before, after, stride=2) for before, after in zip([channels, *FCN_WIDTHS], FCN_WIDTHS, strict=False)
        )
        after = (512, 256, 128, 64, 32)
        self.decoder = nn.Sequential(
            *(_up(before, width, stride=2) for before, width in zip([512, *after], after, strict=False))
        )
        self.segmentation_head = nn.Conv2d(after[-1], classes, kernel_size=1)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Logits [B, K, H, W]."""
        features = images_BCHW
        for block in self.encoder:
            features = block(features)
        logits: torch.Tensor = self.segmentation_head(self.decoder(features))
        return logits


class FCNUnpool(nn.Module):
    """Table 2: six convolutions with max-pooling, unpooling by the kept indices, skips; sides multiples of 64.

    The printed table gives every convolution a stride of 2 beside five poolings, which would shrink an image 2,048
    times. Built here: stride 2 in the first convolution alone, so that the five poolings bring 64; transposed
    convolutions mirror that. The skips, of which the text speaks and the table shows nothing, add the features that
    went into a level's convolution to what comes out of its transposed one: same resolution, same width.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        widths = UNPOOL_WIDTHS
        self.encoder = nn.ModuleList(
            _down(before, after, stride=1 if level else 2)
            for level, (before, after) in enumerate(zip([channels, *widths], widths, strict=False))
        )
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2)
        upward = [*reversed(widths)]
        self.decoder = nn.ModuleList(
            [*(_up(before, after, stride=1) for before, after in itertools.pairwise(upward)), _up(32, 32, 2)]
        )
        self.segmentation_head = nn.Conv2d(32, classes, kernel_size=1)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Logits [B, K, H, W]."""
        first, *others = self.encoder
        features = first(images_BCHW)
        skips, kept = [], []
        for block in others:
            skips.append(features)
            features, indices = self.pool(block(features))
            kept.append(indices)
        *inner, last = self.decoder
        for up in inner:
            features = up(self.unpool(features, kept.pop())) + skips.pop()
        logits: torch.Tensor = self.segmentation_head(last(features))
        return logits


class ResNetFCN(nn.Module):
    """Table 3: a ResNet's features of stride 32, five transposed convolutions, a 1x1 classifier.

    `encoder` gives the list of features of a timm network. The printed table gives the first residual layer a stride
    of 2, with which pretrained weights would not fit and five doublings would not come back to the image's size: the
    network is timm's own. The report's text speaks of ResNet-18, its table of ResNet-34: `model.encoder` says which.
    """

    def __init__(self, encoder: nn.Module, channels: int, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = nn.Sequential(
            *(
                _up(before, after, stride=2)
                for before, after in zip([channels, *RESNET_WIDTHS], RESNET_WIDTHS, strict=False)
            )
        )
        self.segmentation_head = nn.Conv2d(RESNET_WIDTHS[-1], classes, kernel_size=1)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Logits [B, K, H, W]."""
        logits: torch.Tensor = self.segmentation_head(self.decoder(self.encoder(images_BCHW)[-1]))
        return logits
