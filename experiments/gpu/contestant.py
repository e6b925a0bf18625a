"""One contestant of experiments.gpu.step, in a process of its own: it takes turns when told to.

A line on stdin is a number of steps; the answer on stdout is a line of JSON. The first answer says
that it is ready. Whatever else is printed goes to stderr.
"""
import json
import os
import sys
import time

import numpy as np

N_BOX = {'ssd300': 8732, 'ssd512': 24564, 'slim300': 8732}


def draw_batch(model, batchsize):
    """Images, offsets and labels of a batch, one default box in two hundred positive."""
    rng, n_box, insize = np.random.RandomState(0), N_BOX[model], int(model[-3:])
    labels = rng.randint(1, 21, (batchsize, n_box)) * (rng.uniform(size=(batchsize, n_box)) < .005)
    return ((rng.normal(size=(batchsize, 3, insize, insize)) * 60).astype('f'),
            rng.normal(size=(batchsize, n_box, 4)).astype('f'), labels.astype('i'))


def make(kind, **what):
    """The three functions of a contestant and the versions that matter to it."""
    if kind in ('ours', 'torch', 'torch.compile'):
        what['batch'] = draw_batch(what['model'], what.pop('batchsize'))
    if kind.startswith('torch'):
        from experiments.gpu import torch_ssd

        import torch

        versions = {'torch': torch.__version__, 'cudnn': torch.backends.cudnn.version(),
                    'gpu': torch.cuda.get_device_name() if torch.cuda.is_available() else None}
        return torch_ssd.contestant(compiled=kind == 'torch.compile', **what), versions
    from experiments.gpu import ours
    from multibox.devices import hardware, select_device
    from multibox.training import versions

    where = hardware(select_device(what.get('device', '-1')))
    contestant = {'ours': ours.contestant, 'fed': ours.fed, 'loader': ours.loader}[kind]
    return contestant(**what), {**versions(), 'hardware': where}


def main():
    answers = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1)
    (step, wait, memory), versions = make(**json.loads(sys.argv[1]))
    print(json.dumps({'versions': versions}), file=answers)
    for line in sys.stdin:
        begin = time.perf_counter()
        for _ in range(int(line)):
            step()
        wait()
        print(json.dumps({'seconds': (time.perf_counter() - begin) / int(line),
                          'memory_bytes': memory()}), file=answers)


if __name__ == '__main__':
    main()
    sys.stderr.flush()
    os._exit(0)  # the loader's processes end with this one
