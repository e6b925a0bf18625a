"""The settings of a run that a resumed run must keep."""
from multibox.errors import UserError
from multibox.training import snapshots

import pytest

SETTINGS = {'model': 'ssd300', 'loss': 'chainercv', 'classes': ('cat', 'dog'), 'iteration': 10}
FIXED = 'model', 'loss', 'classes'


def test_settings_that_may_change_do_not_stop_a_resume(tmp_path):
    snapshots.save_settings(tmp_path, SETTINGS)
    snapshots.check_settings(tmp_path, {**SETTINGS, 'iteration': 20}, FIXED)


@pytest.mark.parametrize('changed', [
    {'model': 'ssd512'}, {'loss': 'notebook'}, {'classes': ('dog', 'cat')},
], ids=lambda changed: next(iter(changed)))
def test_settings_that_must_not_change_are_named(tmp_path, changed):
    snapshots.save_settings(tmp_path, SETTINGS)
    name = next(iter(changed))
    with pytest.raises(UserError, match=f'the run to resume had {name} '):
        snapshots.check_settings(tmp_path, {**SETTINGS, **changed}, FIXED)


def test_a_setting_that_an_older_run_lacks_does_not_stop_a_resume(tmp_path):
    snapshots.save_settings(tmp_path, {'model': 'ssd300'})
    snapshots.check_settings(tmp_path, SETTINGS, FIXED)


def test_run_without_settings_file_may_be_resumed(tmp_path):
    assert snapshots.read_settings(tmp_path) == {}
    snapshots.check_settings(tmp_path, SETTINGS, FIXED)
