import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from specxfer._threads import in_parallel


def n_blas():
    return [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]


def test_results_come_in_the_order_of_the_items():
    assert in_parallel(lambda x: x**2, range(100)) == [x**2 for x in range(100)]
    assert in_parallel(abs, []) == []


def test_the_number_of_threads_is_put_back_even_after_an_error():
    with threadpool_limits(2, user_api="blas"):
        before = n_blas()
        inside = in_parallel(lambda _: n_blas(), range(4))
        assert all(set(found) == {1} for found in inside)
        with pytest.raises(ZeroDivisionError):
            in_parallel(lambda x: 1 / x, [1, 0])
        assert n_blas() == before


def test_calls_inside_calls_and_beside_each_other():
    assert in_parallel(lambda x: in_parallel(abs, [x, -x]), [1, 2]) == [[1, 1], [2, 2]]
    before, found = n_blas(), []

    def work(i):
        found.append((i, in_parallel(lambda x: float(np.sum(x)), [np.ones(i)] * 3)))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [(i, [float(i)] * 3) for i in range(1, 9)]
    assert n_blas() == before


def test_a_thread_that_did_not_set_the_number_first_holds_and_lifts_it():
    with threadpool_limits(2, user_api="blas"):
        in_parallel(abs, [1, 2])
        before, found = n_blas(), []
        inside, outside = threading.Event(), threading.Event()

        def work():
            found.extend(in_parallel(lambda _: n_blas(), range(3)))
            in_parallel(lambda _: inside.set() or outside.wait(10), [1])

        thread = threading.Thread(target=work)
        in_parallel(lambda _: thread.start() or inside.wait(10), [1])
        assert set(n_blas()) == {1}  # the other still holds it
        outside.set()
        thread.join()
        assert all(set(numbers) == {1} for numbers in found)
        assert n_blas() == before
