"""The division of a data set without lists."""
from multibox.data import load_data
from multibox.data.split import divide
from tests.support.cases import voc

import pytest


def names(n):
    return [f'image {i}' for i in range(n)]


@pytest.mark.parametrize('n, n_test', [(0, 0), (1, 0), (2, 1), (3, 1), (5, 1), (10, 2), (100, 20),
                                       (1001, 200)])
def test_a_fifth_is_the_test_set_and_at_least_one(n, n_test):
    train, test = divide(names(n), str)
    assert (len(train), len(test)) == (n - n_test, n_test)
    assert sorted(train + test) == sorted(names(n))


def test_the_order_of_the_items_does_not_matter():
    train, test = divide(names(50), str)
    backwards = divide(names(50)[::-1], str)
    assert (train[::-1], test[::-1]) == backwards


def test_a_new_item_moves_few_others():
    before, after = (set(divide(names(n), str)[1]) for n in (100, 101))
    assert len(before - after) <= 1


def test_forms_of_unicode_give_one_division():
    assert [name[0] for name in divide(['a\u0308', 'b', 'c', 'd'], str)[1]] == [
        {'\xe4': 'a'}.get(name, name)[0] for name in divide(['\xe4', 'b', 'c', 'd'], str)[1]]


def test_a_copy_of_the_folder_gives_the_same_division(tmp_path):
    one, two = (load_data(voc(tmp_path / name, lists=False)) for name in ('one', 'two'))
    assert [path.name for path in one.test.paths] == [path.name for path in two.test.paths]
    assert one.drawn == two.drawn
