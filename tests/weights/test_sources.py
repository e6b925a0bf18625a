"""The choice of a reader, and files that none of them reads."""
from multibox.errors import UserError
from multibox.weights import read
from multibox.weights.__main__ import main
from tests.support.torch_files import write

import numpy as np
import pytest


@pytest.mark.parametrize('name', ['x.pth', 'x.pt', 'x.pth.tar', 'x.bin', 'x.ckpt', 'X.PTH'])
def test_all_suffixes_of_pytorch_are_read(tmp_path, name):
    write(tmp_path / name, {'vgg.0.bias': np.ones(64, 'f')})
    assert list(read(str(tmp_path / name))) == ['extractor/conv1_1/b']


@pytest.mark.parametrize('name, kind', [
    ('x.h5', r'Keras \(HDF5\)'), ('x.keras', 'Keras'), ('x.onnx', 'ONNX'), ('x.pb', 'TensorFlow'),
    ('x.tflite', 'TensorFlow Lite'), ('yolov3.weights', 'Darknet'), ('x.pkl', 'a pickle'),
    ('x.tar', 'unpack it'),
])
def test_a_file_of_another_framework_is_named(name, kind):
    with pytest.raises(UserError, match=rf'{name}: is .*{kind}.*; .* that ends in ') as refused:
        read(name)
    assert str(refused.value).isprintable()


def test_bgr_is_for_every_file_of_pytorch(tmp_path):
    write(tmp_path / 'x.pt', {f'{i}.bias': np.ones(1, 'f') for i in range(2)})
    with pytest.raises(UserError, match='does not fit a ssd300'):
        main(['convert', str(tmp_path / 'x.pt'), '--bgr', '--out', str(tmp_path / 'x.npz')])
