"""cuDNN's plans of a run: measured before the training, cached per GPU, and kept with the run."""
import contextlib
import os
import re
import time
from pathlib import Path
from typing import Any

from multibox.data.cache import cache_folder
from multibox.engines.convolution import plans
from multibox.engines.convolution.plans import Table
from multibox.errors import UserError
from multibox.files import read_json, write_json
from multibox.processes import ONE, OneProcess
from multibox.training.release import Release

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda

NAME = 'plans.json'


def prepare(model: chainer.Chain, batchsize: int, out: Path, is_resumed: bool,
            processes: OneProcess = ONE) -> None:
    """Choose the plans of the convolutions of a run, for all processes.

    The first process measures those that are neither in ``out/plans.json`` of a resumed run nor in
    the user's cache. A line on stdout says so, and another line if a resumed run has to go on with
    other plans.

    Args:
        model: the network, on a GPU.
        batchsize: number of images per process.
        out: folder of the run.
        is_resumed: whether the run goes on; its plans then come first.
        processes: the processes of the run.

    Raises:
        UserError: ``out/plans.json`` cannot be written.
    """
    found = _choose(model, batchsize, out / NAME, is_resumed) if processes.is_first else None
    found = processes.broadcast(found)
    if not processes.is_first:
        plans.use(Table(found))


def measure(model: chainer.Chain, batchsize: int, table: Table) -> None:
    """Measure the plans of a network in one pass forward and backward on noise, and use them.

    Args:
        model: a network of :func:`multibox.networks.make_detector`, on a GPU; its gradients are
            cleared.
        batchsize: number of images.
        table: the table to fill, which stays in use. Convolutions of other shapes are computed by
            the heuristic's first plan.
    """
    plans.use(table)
    table.measures = True
    _pass(model, batchsize)
    table.measures = False
    model.cleargrads()
    if cuda.available:
        cuda.memory_pool.free_all_blocks()  # no step needs the workspaces of all plans


def _pass(model, batchsize):
    rng = np.random.default_rng(0)
    imgs = 64 * rng.standard_normal((batchsize, 3, model.insize, model.insize), np.float32)
    # Statistics stay as they are, and other processes do not take part in them.
    with Release(), chainer.using_config('train', False):
        locs, confs = model(model.device.send(imgs))
        model.cleargrads()
        (F.sum(locs) + F.sum(confs)).backward()


def _choose(model, batchsize, path, is_resumed):
    gpu, version = _hardware()
    cache = cache_folder() / f'plans-{re.sub("[^0-9A-Za-z]+", "-", gpu)}-{version}.json'
    cached, fault = _read(cache, gpu, version)
    if fault and os.path.exists(cache):
        print(f'{cache}: {fault}, so plans of convolutions are measured anew')
    own, fault = _read(path, gpu, version) if is_resumed else ({}, '')
    began = time.monotonic()
    table = Table({**cached, **own})
    measure(model, batchsize, table)
    if table.times:
        print(f'measured the plans of {len(table.times)} convolutions in '
              f'{time.monotonic() - began:.1f} s')
    if table.lost & own.keys():
        fault = f'cuDNN no longer offers {len(table.lost & own.keys())} of its plans'
    if fault:
        print(f'{path}: {fault}; the run goes on with other plans of convolutions, so its results '
              'may differ in the last bits')
    content = {'gpu': gpu, 'cudnn': version}
    if table.times:
        with contextlib.suppress(UserError, OSError):  # the cache saves time only
            cache.parent.mkdir(parents=True, exist_ok=True)
            write_json(cache, {**content, 'plans': {**cached, **table.plans}})
    # The run uses no plan of other runs in the cache, which --resume may not find again.
    table.plans = {**own, **{key: table.plans[key] for key in table.used & table.plans.keys()}}
    write_json(path, {**content, 'plans': dict(sorted(table.plans.items()))})
    return table.plans


def _hardware() -> tuple[str, int]:
    """The name of the current GPU, and the version of cuDNN."""
    import cudnn

    runtime = cuda.cupy.cuda.runtime
    return (runtime.getDeviceProperties(runtime.getDevice())['name'].decode(),
            cudnn.backend_version())


def _read(path: Path, gpu: str, version: int) -> tuple[dict[str, str], str]:
    """The plans of a file, and why there are none."""
    if not os.path.exists(path):
        return {}, 'is missing'
    try:
        content: dict[str, Any] = read_json(path, dict)
    except UserError:
        return {}, 'is damaged'
    found = content.get('plans')
    if not isinstance(found, dict) or not all(isinstance(plan, str) for plan in found.values()):
        return {}, 'is damaged'
    if (content.get('gpu'), content.get('cudnn')) != (gpu, version):
        return {}, f'is of {content.get("gpu")} and cuDNN {content.get("cudnn")}'
    return found, ''
