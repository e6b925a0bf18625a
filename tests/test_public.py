"""Every public function and method has annotations and a docstring."""
import importlib
import inspect

import multibox

import pytest

MODULES = [importlib.import_module(f'multibox.{name}') for name in (
    'boxes', 'data', 'engines', 'evaluation', 'kernels', 'losses', 'losses.caffe',
    'losses.chainercv', 'losses.notebook', 'losses.ssd_keras', 'losses.ssd_pytorch',
    'losses.super_gradients', 'matching', 'mining', 'networks', 'report', 'training', 'weights')]


def published():
    """Pairs of a public name and its function or method."""
    for module in (multibox, *MODULES):
        names = getattr(module, '__all__', None) or [
            name for name, value in vars(module).items()
            if getattr(value, '__module__', None) == module.__name__ and not name.startswith('_')]
        for name in names:
            value = getattr(module, name)
            if inspect.isfunction(value):
                yield f'{module.__name__}.{name}', value
            elif inspect.isclass(value) and value.__module__.startswith('multibox'):
                for method, function in vars(value).items():
                    if inspect.isfunction(function) and (
                            method in ('__init__', '__call__') or not method.startswith('_')):
                        yield f'{module.__name__}.{name}.{method}', function


def test_all_lists_what_the_readme_publishes():
    assert {'multibox_loss', 'losses', 'mining', 'matching', 'kernels', 'engines', 'make_detector',
            'load_model', '__version__'} <= set(multibox.__all__)
    assert all(hasattr(multibox, name) for name in multibox.__all__)


@pytest.mark.parametrize('function', [pytest.param(each, id=name) for name, each in published()])
def test_a_published_function_is_annotated(function):
    parameters = list(inspect.signature(function).parameters.values())
    missing = [each.name for each in parameters
               if each.annotation is each.empty and each.name != 'self']
    assert not missing, missing
    if function.__name__ != '__init__':
        assert inspect.signature(function).return_annotation is not inspect.Signature.empty


@pytest.mark.parametrize('function', [
    pytest.param(each, id=name) for name, each in published() if each.__name__ != '__init__'])
def test_a_published_function_is_documented(function):
    assert inspect.getdoc(function)
