"""Four published losses as their PyTorch code computes them, restated to be timed.

Each loss is a function of (mb_locs, mb_confs, gt_mb_locs, gt_mb_labels), tensors of shape
(B, K, 4), (B, K, C), (B, K, 4) and (B, K), and returns the two terms. The differences between them
are described in the files of multibox.losses.
"""
import types
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

NEG_POS_RATIO = 3


def _highest_ranked(loss, n):
    """(B, K) mask of the n (B, 1) largest numbers of each row by two sorts, as all of them do."""
    order = loss.sort(dim=1, descending=True).indices
    return order.sort(dim=1).indices < n


def _loc_loss(mb_locs, gt_mb_locs, positive):
    return F.smooth_l1_loss(mb_locs[positive], gt_mb_locs[positive], reduction='sum')


def _selected_loss(mb_confs, gt_mb_labels, selected):
    return F.cross_entropy(mb_confs[selected], gt_mb_labels[selected], reduction='sum')


def _ssd_pytorch(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels):
    """Ranks by a log-sum-exp with one maximum; its ranking is part of the graph, as published."""
    positive = gt_mb_labels > 0
    n_positive = positive.sum(dim=1, keepdim=True)
    rows = mb_confs.reshape(-1, mb_confs.shape[2])
    highest = rows.detach().max()
    ranking = (torch.log(torch.exp(rows - highest).sum(dim=1, keepdim=True)) + highest
               - rows.gather(1, gt_mb_labels.reshape(-1, 1))).reshape(positive.shape)
    ranking[positive] = 0
    n = (NEG_POS_RATIO * n_positive).clamp(max=positive.shape[1] - 1)
    selected = positive | _highest_ranked(ranking, n)
    n_positive = n_positive.sum()
    return (_loc_loss(mb_locs, gt_mb_locs, positive) / n_positive,
            _selected_loss(mb_confs, gt_mb_labels, selected) / n_positive)


def _notebook(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels):
    """Ranks by the cross entropy, and computes the cross entropy of selected boxes again."""
    positive = gt_mb_labels > 0
    n_positive = positive.sum(dim=1, keepdim=True)
    with torch.no_grad():
        ranking = F.cross_entropy(mb_confs.reshape(-1, mb_confs.shape[2]), gt_mb_labels.reshape(-1),
                                  reduction='none').reshape(positive.shape)
        ranking[positive] = 0
    selected = positive | _highest_ranked(ranking, NEG_POS_RATIO * n_positive)
    n_positive = n_positive.sum()
    return (_loc_loss(mb_locs, gt_mb_locs, positive) / n_positive,
            _selected_loss(mb_confs, gt_mb_labels, selected) / n_positive)


def _super_gradients(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels):
    """Multiplies by masks, whose sum counts some positives twice; divides image by image."""
    positive = gt_mb_labels > 0
    n_positive = positive.sum(dim=1)
    loc_loss = F.smooth_l1_loss(mb_locs, gt_mb_locs, reduction='none').sum(dim=2)
    conf_loss = F.cross_entropy(mb_confs.transpose(1, 2), gt_mb_labels, reduction='none')
    ranking = conf_loss.detach().clone()
    ranking[positive] = 0
    n = (NEG_POS_RATIO * n_positive).clamp(max=positive.shape[1])[:, None]
    counted = positive.float() + _highest_ranked(ranking, n).float()
    divisor = n_positive.clamp(min=1)
    return (((loc_loss * positive).sum(dim=1) / divisor).mean(),
            ((conf_loss * counted).sum(dim=1) * (n_positive > 0) / divisor).mean())


def _torchvision(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels):
    """torchvision's own SSD.compute_loss; it is given offsets in place of boxes to encode."""
    from torchvision.models.detection.ssd import SSD
    ssd = types.SimpleNamespace(
        neg_to_pos_ratio=NEG_POS_RATIO,
        box_coder=types.SimpleNamespace(encode_single=lambda offsets, anchors: offsets))
    targets, matched = [], []
    for offsets, labels in zip(gt_mb_locs, gt_mb_labels):
        positive = labels > 0
        targets.append({'boxes': offsets[positive], 'labels': labels[positive]})
        matched.append(torch.where(positive, positive.cumsum(0) - 1, -1))
    losses = SSD.compute_loss(ssd, targets, {'bbox_regression': mb_locs, 'cls_logits': mb_confs},
                              list(gt_mb_locs), matched)
    return losses['bbox_regression'], losses['classification']


LOSSES: dict[str, Callable[..., tuple[torch.Tensor, torch.Tensor]]] = {
    'ssd.pytorch': _ssd_pytorch, 'super-gradients': _super_gradients, 'notebook': _notebook,
    'torchvision': _torchvision}


def stepper(loss: Callable, mb_locs: np.ndarray, mb_confs: np.ndarray, gt_mb_locs: np.ndarray,
            gt_mb_labels: np.ndarray, device: str = 'cpu') -> Callable[[], None]:
    """A step that computes one of :data:`LOSSES` and its gradients, from NumPy arrays."""
    predictions = [torch.from_numpy(array).to(device).requires_grad_()
                   for array in (mb_locs, mb_confs)]
    targets = (torch.from_numpy(gt_mb_locs).to(device),
               torch.from_numpy(gt_mb_labels).to(device).long())

    def step():
        for prediction in predictions:
            prediction.grad = None
        sum(loss(*predictions, *targets)).backward()
    return step
