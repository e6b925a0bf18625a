"""Weights of ssd.pytorch: a converted SSD300 gives the outputs of ssd.pytorch's."""
import itertools
import pickle

from multibox.errors import UserError
from multibox.networks import make_detector
from multibox.weights import load_model, read, start
from multibox.weights.__main__ import main
from tests.support.malice import Malice
from tests.support.torch_files import write

import chainer
import numpy as np
import pytest
import safetensors.numpy
from chainercv.datasets import voc_bbox_label_names

# ssd.pytorch's `vgg`, one entry per layer: a convolution's channels, ReLU, or a pooling.
VGG = (64, 'r', 64, 'r', 'p', 128, 'r', 128, 'r', 'p', 256, 'r', 256, 'r', 256, 'r', 'ceil',
       512, 'r', 512, 'r', 512, 'r', 'p', 512, 'r', 512, 'r', 512, 'r', 'same',
       1024, 'r', 1024, 'r')
# Per layer: output channels, kernel, stride, padding.
EXTRAS = ((256, 1, 1, 0), (512, 3, 2, 1), (128, 1, 1, 0), (256, 3, 2, 1),
          (128, 1, 1, 0), (256, 3, 1, 0), (128, 1, 1, 0), (256, 3, 1, 0))
HEADS = (512, 4), (1024, 6), (512, 6), (256, 6), (256, 4), (256, 4)  # channels, boxes per cell


@pytest.fixture(scope='module')
def state():
    """A random state_dict of SSD300 for 21 classes, whose outputs are all of order 1."""
    rng = np.random.RandomState(0)
    state = {'L2Norm.weight': rng.uniform(10, 30, 512).astype('f')}

    def add(name, n_in, n_out, ksize):
        shape = n_out, n_in, ksize, ksize
        state[f'{name}.weight'] = rng.normal(0, (2 / (n_in * ksize ** 2)) ** .5, shape).astype('f')
        state[f'{name}.bias'] = rng.normal(0, .1, n_out).astype('f')

    n_in = 3
    for i, layer in enumerate(VGG):
        if isinstance(layer, int):
            add(f'vgg.{i}', n_in, layer, 1 if i == 33 else 3)
            n_in = layer
    state['vgg.0.weight'] /= 70  # inputs are of order 70
    for i, (n_out, ksize, _, _) in enumerate(EXTRAS):
        add(f'extras.{i}', n_in, n_out, ksize)
        n_in = n_out
    for i, (n_in, n_box) in enumerate(HEADS):
        for name, n_out in (f'loc.{i}', n_box * 4), (f'conf.{i}', n_box * 21):
            add(name, n_in, n_out, 3)
            state[f'{name}.weight'] /= 2  # no ReLU follows that would halve the outputs
    return state


def run(state, x):
    """ssd.pytorch's SSD300 in double precision, restated in torch.

    Returns ``loc`` (B, K, 4) in the order dx, dy, dw, dh, and ``conf`` (B, K, 21).
    """
    torch = pytest.importorskip('torch')
    F = torch.nn.functional
    x = torch.from_numpy(x).double()
    state = {name: torch.from_numpy(array).double() for name, array in state.items()}

    def conv(name, x, **kwargs):
        return F.conv2d(x, state[f'{name}.weight'], state[f'{name}.bias'], **kwargs)

    maps = []
    for i, layer in enumerate(VGG):
        if layer == 'r':
            x = F.relu(x)
        elif layer == 'same':
            x = F.max_pool2d(x, 3, stride=1, padding=1)
        elif layer in ('p', 'ceil'):
            x = F.max_pool2d(x, 2, ceil_mode=layer == 'ceil')
        else:  # conv6 is dilated, conv7 is 1 x 1
            pad = {31: 6, 33: 0}.get(i, 1)
            x = conv(f'vgg.{i}', x, padding=pad, dilation=max(pad, 1))
        if i == 22:
            norm = (x ** 2).sum(dim=1, keepdim=True).sqrt() + 1e-10
            maps.append(state['L2Norm.weight'][:, None, None] * x / norm)
    maps.append(x)
    for i, (_, _, stride, pad) in enumerate(EXTRAS):
        x = F.relu(conv(f'extras.{i}', x, stride=stride, padding=pad))
        if i % 2:
            maps.append(x)
    return [torch.cat([conv(f'{head}.{i}', x, padding=1).permute(0, 2, 3, 1).reshape(1, -1, n)
                       for i, x in enumerate(maps)], dim=1)
            for head, n in (('loc', 4), ('conf', 21))]


@pytest.fixture(scope='module')
def example(state):
    """An RGB image minus the mean, and the outputs of ssd.pytorch for it."""
    rng = np.random.RandomState(0)
    x = rng.uniform(-120, 130, (1, 3, 300, 300)).astype('f')
    loc, conf = run(state, x)
    return x, loc.numpy(), conf.numpy()


def check(model, x, loc, conf):
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        mb_locs, mb_confs = model(x)
    np.testing.assert_allclose(mb_locs.array, loc[..., [1, 0, 3, 2]], rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(mb_confs.array, conf, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize('prefix, new', [('', False), ('module.', True)],
                         ids=['as of old', 'as of today, DataParallel'])
def test_the_converted_ssd300_gives_its_outputs(
        state, example, tmp_path, capsys, prefix, new):
    write(tmp_path / 'ssd.pth', {f'{prefix}{name}': array for name, array in state.items()}, new)
    main(['convert', str(tmp_path / 'ssd.pth'), '--out', str(tmp_path / 'model.npz')])
    said = capsys.readouterr()[0]
    assert 'matched    71 of 71 parameters\nleft over  none\nmissing    none' in said
    model, name, label_names = load_model(tmp_path / 'model.npz')
    assert (name, label_names) == ('ssd300', voc_bbox_label_names)
    check(model, *example)


def test_a_network_for_bgr_images_gives_its_outputs(state, example, tmp_path):
    write(tmp_path / 'ssd.pth', {**state, 'vgg.0.weight': state['vgg.0.weight'][:, ::-1]})
    main(['convert', str(tmp_path / 'ssd.pth'), '--bgr', '--out', str(tmp_path / 'model.npz')])
    check(load_model(tmp_path / 'model.npz')[0], *example)


@pytest.mark.parametrize('n_class, name, sizes', [
    (20, 'ssd300', (30, 60, 111, 162, 213, 264, 315)),
    (2, 'ssd300-coco', (21, 45, 99, 153, 207, 261, 315)),  # ssd.py: (coco, voc)[num_classes == 21]
], ids=['voc', 'others'])
def test_default_boxes_are_its_own(state, tmp_path, n_class, name, sizes):
    theirs = []  # x, y, width, height in units of the image
    for k, (grid, step) in enumerate(zip((38, 19, 10, 5, 3, 1), (8, 16, 32, 64, 100, 300))):
        for i, j in itertools.product(range(grid), repeat=2):
            s, geometric_mean = sizes[k] / 300, (sizes[k] * sizes[k + 1]) ** .5 / 300
            wide = [(s * ratio ** .5, s / ratio ** .5) for ratio in ((2, 3) if 0 < k < 4 else (2,))]
            shapes = [(s, s), (geometric_mean,) * 2]
            for w, h in wide:
                shapes += [(w, h), (h, w)]
            theirs += [((j + .5) * step / 300, (i + .5) * step / 300, *shape) for shape in shapes]
    heads = {name: np.concatenate(array.reshape(-1, 21, *array.shape[1:])[:, :1 + n_class])
             for name, array in state.items() if name.startswith('conf')}
    write(tmp_path / 'ssd.pth', {**state, **heads})
    main(['convert', str(tmp_path / 'ssd.pth'), '--out', str(tmp_path / 'model.npz'),
          *([] if n_class == 20 else ['--classes', str(n_class)])])
    model, found, _ = load_model(tmp_path / 'model.npz')
    assert found == name
    np.testing.assert_allclose(model.coder.default_bbox[:, [1, 0, 3, 2]] / 300,
                               np.clip(theirs, 0, 1), rtol=1e-6)


def test_vgg16_reducedfc_starts_a_network(state, tmp_path, capsys):
    trunk = {name.removeprefix('vgg.'): array for name, array in state.items() if 'vgg' in name}
    write(tmp_path / 'vgg16_reducedfc.pth', trunk)
    main(['convert', str(tmp_path / 'vgg16_reducedfc.pth'), '--out', str(tmp_path / 'vgg.npz')])
    assert 'matched    30 of 71' in capsys.readouterr()[0]
    for source in 'vgg16_reducedfc.pth', 'vgg.npz':
        model = make_detector('ssd300', 3)
        said = start(model, 'ssd300', 'abc', str(tmp_path / source))
        assert '30 of 71 parameters taken; not taken: extractor/conv10_1, ' in said
        np.testing.assert_array_equal(model.extractor.conv6.W.array, trunk['31.weight'])


def test_what_does_not_fit_is_named_with_both_shapes(state, tmp_path):
    changed = {**state, 'vgg.0.weight': state['vgg.0.weight'][:9], 'spare.weight': np.ones(1, 'f')}
    del changed['extras.3.bias']
    write(tmp_path / 'ssd.pth', changed)
    with pytest.raises(UserError) as refusal:
        main(['convert', str(tmp_path / 'ssd.pth'), '--out', str(tmp_path / 'model.npz')])
    assert 'extractor/conv1_1/W: wanted (64, 3, 3, 3), found (9, 3, 3, 3)' in str(refusal.value)
    assert 'left over  spare.weight\nmissing    extractor/conv9_2' in str(refusal.value)
    assert not (tmp_path / 'model.npz').exists()


@pytest.mark.parametrize('suffix', ['pth', 'pt', 'pth.tar', 'bin', 'ckpt', 'safetensors'])
def test_a_few_layers_are_refused_with_the_list_of_those_missing(tmp_path, suffix):
    state = {f'vgg.{i}.bias': np.zeros(64, 'f') for i in (0, 2)}
    path = tmp_path / f'x.{suffix}'
    if suffix == 'safetensors':
        safetensors.numpy.save_file(state, path)
    else:
        write(path, {'state_dict': state, 'epoch': 3})
    with pytest.raises(UserError, match=r'matched    2 of 71 [^$]*missing    extractor/conv10_1, '):
        main(['convert', str(path), '--out', str(tmp_path / 'x.npz')])


@pytest.mark.parametrize('form', ['row of pickles', 'zip', 'bare pickle'])
def test_a_pickle_that_would_run_a_command_is_refused(tmp_path, form):
    path, trace = tmp_path / 'evil.pth', tmp_path / 'ran'
    content = {'vgg.0.weight': Malice(trace)}
    if form == 'bare pickle':
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        write(path, content, zipped=form == 'zip')
    with pytest.raises(UserError, match='not a file of weights alone, so it was not loaded'):
        read(str(path))
    assert not trace.exists()


def test_heads_without_a_shape_are_refused(tmp_path):
    write(tmp_path / 'x.pth', {'loc.0.bias': np.array(1, 'f'), 'conf.0.bias': np.array(1, 'f')})
    with pytest.raises(UserError, match='the heads lack the biases'):
        main(['convert', str(tmp_path / 'x.pth'), '--out', str(tmp_path / 'model.npz')])


def test_layers_of_odd_shapes_are_named(tmp_path):
    write(tmp_path / 'x.pth', {
        'vgg.0.weight': np.ones(3, 'f'), 'loc.0.weight': np.ones((4, 0), 'f'),
        'loc.0.bias': np.ones(16, 'f'), 'conf.0.bias': np.ones(84, 'f')})
    with pytest.raises(UserError, match=r'loc/0/W: wanted \(16, 512, 3, 3\), found \(4, 0\)'):
        main(['convert', str(tmp_path / 'x.pth'), '--bgr', '--out', str(tmp_path / 'model.npz')])


def test_a_name_with_a_long_number_keeps_it(tmp_path):
    name = f'vgg.{"9" * 5000}.weight'
    write(tmp_path / 'x.pth', {name: np.zeros(1, 'f')})
    assert list(read(str(tmp_path / 'x.pth'))) == [name]
