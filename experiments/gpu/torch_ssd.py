"""SSD300 and SSD512 in PyTorch, layer for layer those of ChainerCV, and a training step.

The initial weights are PyTorch's: other numbers than Chainer's, and the same work.
"""
import itertools

from experiments.speed.torch_losses import LOSSES
from experiments.timing.arrays import random_batch
from experiments.timing.contestant import Contestant

import torch
from torch import nn

# Per extra stage: channels of the 1 x 1 convolution; then channels, size, stride and padding.
EXTRAS = {
    'ssd300': ((256, 512, 3, 2, 1), (128, 256, 3, 2, 1), (128, 256, 3, 1, 0), (128, 256, 3, 1, 0)),
    'ssd512': ((256, 512, 3, 2, 1), *[(128, 256, 3, 2, 1)] * 3, (128, 256, 4, 1, 1)),
}
BOXES = {'ssd300': (4, 6, 6, 6, 4, 4), 'ssd512': (4, 6, 6, 6, 6, 4, 4)}  # per cell of each map
N_BOX = {'ssd300': 8732, 'ssd512': 24564}
AUTOCAST = {'float16': torch.float16, 'bfloat16': torch.bfloat16}


class SSD(nn.Module):
    """VGG16 as in torchvision, dilated, with the extra stages and the heads of SSD.

    Args:
        name: a key of :data:`EXTRAS`.
        n_class: number of classes with the background.
    """

    def __init__(self, name: str, n_class: int):
        super().__init__()
        self.n_class = n_class
        self.to_conv4 = _vgg((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, *[512] * 3))
        self.scale = nn.Parameter(torch.full((512, 1, 1), 20.))
        self.to_conv7 = nn.Sequential(
            nn.MaxPool2d(2, ceil_mode=True), *_vgg((512,) * 4), nn.MaxPool2d(3, 1, 1),
            *_convolve(512, 1024, 3, padding=6, dilation=6), *_convolve(1024, 1024, 1))
        channels = [512, 1024, *(extra[1] for extra in EXTRAS[name])]
        self.extras = nn.ModuleList(
            nn.Sequential(*_convolve(n_in, middle, 1), *_convolve(middle, n_out, size, stride, pad))
            for n_in, (middle, n_out, size, stride, pad) in zip(channels[1:], EXTRAS[name]))
        self.loc, self.conf = (
            nn.ModuleList(nn.Conv2d(n_in, n_box * n, 3, padding=1)
                          for n_in, n_box in zip(channels, BOXES[name])) for n in (4, n_class))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 3, insize, insize) to offsets (B, K, 4) and logits (B, K, n_class)."""
        x = self.to_conv4(x)
        length = x.float().square().sum(dim=1, keepdim=True).sqrt() + 1e-5
        maps = [(x / length * self.scale).to(x.dtype)]
        for stage in (self.to_conv7, *self.extras):
            x = stage(x)
            maps.append(x)
        return tuple(
            torch.cat([head(x).permute(0, 2, 3, 1).reshape(len(x), -1, n)
                       for head, x in zip(heads, maps)], dim=1)
            for heads, n in ((self.loc, 4), (self.conf, self.n_class)))


def _convolve(*args, **kwargs):
    return nn.Conv2d(*args, **kwargs), nn.ReLU(inplace=True)


def _vgg(*stages):
    """Stages of 3 x 3 convolutions, given by their channels, with max pooling between stages."""
    layers = []
    for channels in stages:
        for pair in itertools.pairwise(channels):
            layers += _convolve(*pair, 3, padding=1)
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
    return nn.Sequential(*layers[:-1])


def on_one_batch(model: str, precision: str, device: str, batchsize: int, compiled: bool
                 ) -> Contestant:
    """A training step as the guides of PyTorch advise, on a batch that is on the device already.

    Of the four PyTorch losses, one does not wait for the GPU: that of super-gradients. Its mining
    multiplies by masks, so ``torch.compile`` can compile it.

    Args:
        model, precision, device: as of train.py; the model is a key of :data:`EXTRAS`.
        batchsize: number of images.
        compiled: whether ``torch.compile`` compiles network and loss.
    """
    on_gpu = device != '-1'
    device = torch.device('cuda', int(device)) if on_gpu else torch.device('cpu')
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == 'tf32'
    torch.manual_seed(0)
    network = SSD(model, 21).to(device, memory_format=torch.channels_last)
    weights, biases = ([p for p in network.parameters() if (p.ndim == 1) == is_bias]
                       for is_bias in (False, True))
    optimizer = torch.optim.SGD([{'params': weights, 'weight_decay': 5e-4},
                                 {'params': biases, 'lr': 2e-6}], 1e-6, .9, fused=on_gpu)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == 'float16')
    imgs, gt_mb_locs, gt_mb_labels = (
        torch.from_numpy(array).to(device)
        for array in random_batch(batchsize, int(model[-3:]), N_BOX[model]))
    imgs = imgs.contiguous(memory_format=torch.channels_last)
    gt_mb_labels = gt_mb_labels.long()

    def loss():
        with torch.autocast(device.type, AUTOCAST.get(precision), precision in AUTOCAST):
            mb_locs, mb_confs = network(imgs)
        return sum(LOSSES['super-gradients'](
            mb_locs.float(), mb_confs.float(), gt_mb_locs, gt_mb_labels))

    if compiled:
        loss = torch.compile(loss, dynamic=False)

    def step():
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss()).backward()
        scaler.step(optimizer)
        scaler.update()

    versions = {'torch': torch.__version__, 'cudnn': torch.backends.cudnn.version(),
                'gpu': torch.cuda.get_device_name() if torch.cuda.is_available() else None}
    if not on_gpu:
        return Contestant(step, versions=versions)
    # Not the peak: the search for algorithms takes more memory, and returns it.
    return Contestant(step, torch.cuda.synchronize, torch.cuda.memory_reserved, versions)
