"""Pillow that dies or hangs on files that hold a marker; for the PYTHONPATH of a program."""
import importlib.util
import os
import signal
import sys
import time

ACTS = {b'CRASHES HERE': lambda: os.kill(os.getpid(), signal.SIGSEGV),
        b'HANGS HERE': lambda: time.sleep(1000)}


class Finder:
    """Spoils ``PIL.Image.open`` as soon as Pillow is imported."""

    def find_spec(self, name, path=None, target=None):
        """Return the spec of ``PIL.Image`` with another loader; None for other names."""
        if name != 'PIL.Image':
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def execute_and_spoil(module):
            execute(module)
            open_image = module.open

            def spoiled(path, *args, **kwargs):
                with open(path, 'rb') as file:
                    content = file.read()
                for marker, act in ACTS.items():
                    if marker in content:
                        act()
                return open_image(path, *args, **kwargs)

            module.open = spoiled

        spec.loader.exec_module = execute_and_spoil
        return spec


sys.meta_path.insert(0, Finder())
