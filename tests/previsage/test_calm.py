"""Linear algebra by one thread, and given back afterwards."""

import threading

import numpy as np
import pytest
from scipy.linalg import cho_factor

from previsage.calm import one_thread, threads


def counts() -> list[int]:
    """Threads of each library, as it says itself."""
    return [get() for get, _ in threads().libraries]


@pytest.fixture(autouse=True)
def two_threads():
    """Two before and after, whatever the machine has."""
    if not threads().libraries:
        pytest.skip("numpy and scipy came without OpenBLAS here: there are no threads to hold back")
    before = counts()
    threads().set([2] * len(before))
    yield
    threads().set(before)


def test_one_thread_within_and_as_many_as_before_after():
    assert set(counts()) == {2}
    with one_thread():
        assert set(counts()) == {1}
        with one_thread():
            assert set(counts()) == {1}
        assert set(counts()) == {1}  # the outer one still wants it
    assert set(counts()) == {2}


def test_given_back_when_work_fails_and_when_it_is_a_decorator():
    @one_thread()
    def fails():
        assert set(counts()) == {1}
        raise ValueError

    for _ in range(2):
        with pytest.raises(ValueError):
            fails()
        assert set(counts()) == {2}


def test_the_last_of_several_workers_gives_it_back():
    inside, leave = threading.Barrier(3), [threading.Event(), threading.Event()]

    def work(k: int) -> None:
        with one_thread():
            inside.wait(10)
            leave[k].wait(10)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for worker in workers:
        worker.start()
    inside.wait(10)
    for k, expected in enumerate((1, 2)):
        leave[k].set()
        workers[k].join()
        assert set(counts()) == {expected}


def test_the_numbers_stay():
    root = np.random.default_rng(3).normal(size=(300, 300))
    matrix = root @ root.T + np.eye(300)
    with one_thread():
        calm = cho_factor(matrix)[0]
    np.testing.assert_allclose(calm, cho_factor(matrix)[0], rtol=1e-9, atol=1e-9)
