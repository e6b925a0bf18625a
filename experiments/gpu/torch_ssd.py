"""SSD300 and SSD512 in PyTorch, layer for layer ChainerCV's, and a training step of them.

Weights begin as PyTorch's layers begin: other numbers than Chainer's, and the same work.
"""
import itertools

from experiments.speed.torch_losses import super_gradients

import torch
from torch import nn

# Of the extra stages: channels of the 1 x 1 convolution, then channels, size, stride and padding.
EXTRAS = {
    'ssd300': ((256, 512, 3, 2, 1), (128, 256, 3, 2, 1), (128, 256, 3, 1, 0), (128, 256, 3, 1, 0)),
    'ssd512': ((256, 512, 3, 2, 1), *[(128, 256, 3, 2, 1)] * 3, (128, 256, 4, 1, 1)),
}
BOXES = {'ssd300': (4, 6, 6, 6, 4, 4), 'ssd512': (4, 6, 6, 6, 6, 4, 4)}  # of a cell of each map
AUTOCAST = {'float16': torch.float16, 'bfloat16': torch.bfloat16}


class SSD(nn.Module):
    """VGG16 as torchvision has it, dilated, with SSD's extra stages and heads.

    Args:
        name: a key of :data:`EXTRAS`.
        n_class: number of classes with the background.
    """

    def __init__(self, name, n_class):
        super().__init__()
        self.n_class = n_class
        self.to_conv4 = vgg((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, *[512] * 3))
        self.scale = nn.Parameter(torch.full((512, 1, 1), 20.))
        self.to_conv7 = nn.Sequential(
            nn.MaxPool2d(2, ceil_mode=True), *vgg((512,) * 4), nn.MaxPool2d(3, 1, 1),
            *convolve(512, 1024, 3, padding=6, dilation=6), *convolve(1024, 1024, 1))
        channels = [512, 1024, *(extra[1] for extra in EXTRAS[name])]
        self.extras = nn.ModuleList(
            nn.Sequential(*convolve(n_in, middle, 1), *convolve(middle, n_out, size, stride, pad))
            for n_in, (middle, n_out, size, stride, pad) in zip(channels[1:], EXTRAS[name]))
        self.loc, self.conf = (
            nn.ModuleList(nn.Conv2d(n_in, n_box * n, 3, padding=1)
                          for n_in, n_box in zip(channels, BOXES[name])) for n in (4, n_class))

    def forward(self, x):
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


def convolve(*args, **kwargs):
    return nn.Conv2d(*args, **kwargs), nn.ReLU(inplace=True)


def vgg(*stages):
    """Stages of 3 x 3 convolutions, max pooling between them."""
    layers = []
    for channels in stages:
        for pair in itertools.pairwise(channels):
            layers += convolve(*pair, 3, padding=1)
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
    return nn.Sequential(*layers[:-1])


def contestant(model, precision, compiled, device, batch):
    """A training step as PyTorch's own guides advise.

    The loss is the one of four published in PyTorch that does not wait for the GPU, and its mining
    multiplies by masks, so that it can be compiled.

    Args:
        model: a key of :data:`EXTRAS`.
        precision: float32, tf32, float16 or bfloat16.
        compiled: whether network and loss go through ``torch.compile``.
        device: as of train.py.
        batch: images (B, 3, insize, insize), offsets (B, K, 4), labels (B, K), NumPy arrays.

    Returns:
        Three functions: a step, wait for what was begun, bytes of GPU memory that its pool holds.
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
    imgs, gt_mb_locs, gt_mb_labels = (torch.from_numpy(array).to(device) for array in batch)
    imgs = imgs.contiguous(memory_format=torch.channels_last)
    gt_mb_labels = gt_mb_labels.long()

    def loss():
        with torch.autocast(device.type, AUTOCAST.get(precision), precision in AUTOCAST):
            mb_locs, mb_confs = network(imgs)
        return sum(super_gradients(mb_locs.float(), mb_confs.float(), gt_mb_locs, gt_mb_labels))

    if compiled:
        loss = torch.compile(loss, dynamic=False)

    def step():
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss()).backward()
        scaler.step(optimizer)
        scaler.update()

    def nothing():
        return 0

    if on_gpu:  # not the most there ever was: trying algorithms took more, and gave it back
        return step, torch.cuda.synchronize, torch.cuda.memory_reserved
    return step, nothing, nothing
