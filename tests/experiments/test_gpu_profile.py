"""The profile of a step, with a stand-in for the profiler: groups, sums, table, errors."""
import importlib.util
import json

from experiments.gpu import profile
from experiments.timing.contestant import Contestant
from multibox.errors import UserError

import pytest

NAMES = {
    'convolutions': [
        'sm90_xmma_fprop_implicit_gemm_f16f16_f16f32_f32_nhwckrsc_nhwc_tilesize128x128x64',
        '_ZN17cutlass__5x_cudnn6KernelINS_4conv6kernel23ImplicitGemmConvolution',
        'void cutlass__5x_cudnn::Kernel<cutlass_tensorop_f16_s16816dgrad_optimized_f16>(int)',
        'void nhwcAddPaddingKernel<__half, __half, float, true>(int, int)',
        'void cudnn::cnn::conv2d_grouped_direct_kernel<false, true>(int)',
        'void cudnn::engines_precompiled::convertTensor_kernel<float, float>(float)',
        'void fft2d_r2c_32x32<float, false, 0u, false>(float2*)',
        'void pointwise_mult_and_sum_complex<float2, 8, 4>(float2*)'],
    'rounding and copies': ['cupy_copy__float16_float16', 'round_to_bfloat16', 'widen_bfloat16',
                            'Memcpy HtoD (Pinned -> Device)', 'Memset (Device)'],
    'pooling': ['void max_pool<__half, 2, 2, 2, 2>(__half const*)',
                'void max_pool_gradient<__nv_bfloat16, 3, 3, 1, 1>(__half const*)'],
    'normalisation': ['void normalize_gradient<float>(float const*)'],
    'loss': ['mark_largest', 'void average<true>(float)', 'void mine<float>(float const*)',
             'void cross_entropy_gradient<__half>(int)', 'void gradients<float>(float const*)'],
    'update': ['void update<__half>(Tensors)', 'void find_nonfinite<float>(Tensors)'],
    'rest': ['relu_gradient', 'cupy_sum', 'cupy_maximum__float16_float_float16'],
}


@pytest.mark.parametrize('group, name', [
    (group, name) for group, names in NAMES.items() for name in names])
def test_a_kernel_belongs_to_the_group_of_its_name(group, name):
    assert profile.group_of(name) == group


LAUNCHES = [('relu_gradient', 1000.), ('xmma_fprop', 3000.), ('relu_gradient', 3000.),
            ('xmma_dgrad', 5000.), ('cupy_sum', 2000.), ('xmma_fprop', 2000.)]


def test_launches_are_summed_per_step():
    found = profile.summarize(LAUNCHES, n_step=2)
    assert (found['busy_ms'], found['launches']) == (8, 3)
    assert list(found['groups'].items()) == [
        ('convolutions', {'ms': 5, 'launches': 1.5}), ('rest', {'ms': 3, 'launches': 1.5})]
    assert found['kernels'][2] == {
        'name': 'relu_gradient', 'group': 'rest', 'ms': 2, 'launches': 1}
    assert [row['ms'] for row in found['kernels']] == [2.5, 2.5, 2, 1]


@pytest.fixture
def steps(monkeypatch):
    """A GPU and a contestant that stand in for the real ones. Returns the list of its steps."""
    steps = []
    contestant = Contestant(lambda: steps.append(1), memory=lambda: 3_190_000_000)
    monkeypatch.setattr(profile, 'gpu_name', lambda: 'a GPU')
    monkeypatch.setattr(profile, 'on_host', lambda call: call() or .002)
    monkeypatch.setattr(profile.multibox_ssd, 'on_one_batch', lambda *args: contestant)
    return steps


@pytest.fixture
def torch(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: name)
    monkeypatch.setattr(profile, 'record', lambda contestant, n_step: [
        launch for launch in LAUNCHES for _ in range(n_step)])


def test_the_profile_is_saved_and_shown(steps, torch, tmp_path, capsys):
    out = tmp_path / 'profile.json'
    profile.main(['--precision', 'tf32', '--repeat', '4', '--out', str(out)])
    assert len(steps) == profile.WARM_UP + 4 + 4
    saved = json.loads(out.read_text())
    results = saved['results']
    assert saved['command'].endswith('--model ssd300 --precision tf32 --batchsize 32 --repeat 4')
    assert (results['gpu'], results['host_ms'], results['busy_ms']) == ('a GPU', 2, 16)
    assert results['images_a_second'] == pytest.approx(32e3 / results['step_ms'])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'ssd300, tf32, images: 32'
    assert lines[1].endswith('3.2 GB; host 2.0 ms, GPU busy 16.0 ms')
    assert lines[3].split() == ['convolutions', '10.00', '63%', '3']
    assert lines[5].split() == ['relu_gradient', '4.00', 'ms', '2', 'launches']


def test_without_pytorch_the_profile_is_refused(steps, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(UserError, match='PyTorch, which is not installed: pip install torch'):
        profile.main([])
    assert not steps


def test_without_a_gpu_the_profile_is_refused():
    if profile.multibox_ssd.cuda.available:
        pytest.skip('this machine has a GPU')
    with pytest.raises(UserError, match='CuPy finds no GPU here'):
        profile.main([])


@pytest.mark.gpu
def test_the_kernels_of_a_step_are_recorded(gpu, tmp_path, capsys):
    pytest.importorskip('torch')
    profile.main(['--model', 'slim300', '--batchsize', '2', '--repeat', '2', '--out',
                  str(tmp_path / 'profile.json')])
    groups = json.loads((tmp_path / 'profile.json').read_text())['results']['groups']
    assert {'convolutions', 'loss', 'update'} <= {*groups}
