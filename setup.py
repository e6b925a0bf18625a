"""Copies the three programs into a wheel; pyproject.toml says everything else."""
from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithPrograms(build_py):
    def run(self):
        super().run()
        if not self.editable_mode:
            for name in 'train.py', 'evaluate.py', 'detect.py':
                self.copy_file(name, f'{self.build_lib}/multibox/programs/{name}')


setup(cmdclass={'build_py': BuildWithPrograms})
