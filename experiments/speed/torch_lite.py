"""lite300 in PyTorch, layer for layer that of :mod:`multibox.networks.lite`, and a training step.

The weights of the trunk are copied, with the batch normalisations folded into them, so both
networks compute the same. The other initial weights are PyTorch's.
"""
from collections.abc import Callable
from typing import Any

from experiments.speed.torch_losses import LOSSES
from multibox.networks.efficientnet import MAPS, EfficientNetLite0

import chainer
import torch
import torch.nn.functional as F
from torch import nn

BOXES = 4, 6, 6, 6, 4, 4  # per cell of each map


class Same(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding and the weights of a link of multibox."""

    def __init__(self, link: Any, relu6: bool):
        n_out, n_in, size, _ = link.W.shape
        super().__init__(n_in * link.groups, n_out, size, link.stride, groups=link.groups)
        self.relu6 = relu6
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(link.W.array))
            self.bias.copy_(torch.from_numpy(link.b.array))

    def forward(self, x):
        (size, _), (stride, _) = self.kernel_size, self.stride
        pads = [max(0, -n % stride + size - stride) for n in x.shape[2:]]
        if len({pad % 2 for pad in pads} | {0}) == 1:
            padding = [pad // 2 for pad in pads]
        else:
            (above, left), padding = [pad // 2 for pad in pads], 0
            x = F.pad(x, (left, pads[1] - left, above, pads[0] - above))
        y = F.conv2d(x, self.weight, self.bias, self.stride, padding, 1, self.groups)
        return F.relu6(y, inplace=True) if self.relu6 else y


class Block(nn.Module):
    """The twin of an inverted residual."""

    def __init__(self, link: Any):
        super().__init__()
        expand = [] if link.expand is None else [Same(link.expand, True)]
        self.layers = nn.Sequential(
            *expand, Same(link.depthwise, True), Same(link.project, False))
        self.has_shortcut = link.has_shortcut

    def forward(self, x):
        y = self.layers(x)
        return x + y if self.has_shortcut else y


def _convolve(n_in, n_out, size, stride=1, padding=0):
    return nn.Sequential(nn.Conv2d(n_in, n_out, size, stride, padding, bias=False),
                         nn.BatchNorm2d(n_out), nn.ReLU(inplace=True))


class LiteSSD300(nn.Module):
    """The twin of ``multibox.networks.lite.LiteSSD300``, whose trunk is copied.

    Args:
        trunk: the trunk; its frozen parts are frozen.
        n_class: number of classes with the background.
    """

    def __init__(self, trunk: EfficientNetLite0, n_class: int):
        super().__init__()
        self.n_class, self.n_frozen = n_class, trunk.n_frozen
        self.parts = nn.ModuleList([Same(trunk.stem, True), *map(Block, trunk.blocks)])
        self.norms = nn.ModuleList(map(nn.BatchNorm2d, MAPS.values()))
        self.conv38, self.conv19 = (
            _convolve(n_in, n_out, 3, padding=1) for n_in, n_out in ((40, 128), (112, 192)))
        self.stages = nn.ModuleList([
            nn.Sequential(_convolve(320, 128, 1), _convolve(128, 256, 3, 2, 1)),
            nn.Sequential(_convolve(256, 128, 1), _convolve(128, 256, 3, 2, 1)),
            nn.Sequential(_convolve(256, 128, 1), _convolve(128, 256, 3))])
        channels = 128, 192, 320, 256, 256, 256
        self.loc, self.conf = (
            nn.ModuleList(nn.Conv2d(n_in, n_box * n, 3, padding=1)
                          for n_in, n_box in zip(channels, BOXES)) for n in (4, n_class))
        self.parts[:self.n_frozen].requires_grad_(False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 3, 300, 300), RGB minus 127, to offsets (B, K, 4) and logits (B, K, n_class)."""
        maps, x = [], x / 128
        for i, part in enumerate(self.parts):
            with torch.set_grad_enabled(torch.is_grad_enabled() and i >= self.n_frozen):
                x = part(x)
            if i - 1 in MAPS:
                maps.append(x)
        maps = [norm(x) for norm, x in zip(self.norms, maps)]
        maps[:2] = self.conv38(maps[0]), self.conv19(maps[1])
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return tuple(
            torch.cat([head(x).permute(0, 2, 3, 1).reshape(len(x), -1, n)
                       for head, x in zip(heads, maps)], dim=1)
            for heads, n in ((self.loc, 4), (self.conf, self.n_class)))


def make_step(trunk: EfficientNetLite0, n_class: int, batch: tuple) -> Callable[[], float]:
    """Make a training step: forward pass, loss of ssd.pytorch, backward pass, update by Adam.

    Args:
        trunk: as for :class:`LiteSSD300`.
        n_class: number of classes with the background.
        batch: ``(imgs, gt_mb_locs, gt_mb_labels)``, see
            :func:`experiments.timing.arrays.random_batch`.

    Returns:
        Function without arguments that makes an update and returns its loss.
    """
    model = LiteSSD300(trunk, n_class).to(memory_format=torch.channels_last)
    imgs, gt_mb_locs, gt_mb_labels = map(torch.from_numpy, map(chainer.as_array, batch))
    imgs, labels = imgs.to(memory_format=torch.channels_last), gt_mb_labels.long()
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=1e-4)

    def step():
        loss = sum(LOSSES['ssd.pytorch'](*model(imgs), gt_mb_locs, labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()
    return step
