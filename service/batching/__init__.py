"""Continuous batching across requests.

`scheduler` has the loop: choose a batch, run it, account for the results. `fair_queue` has the order of the queue and
the choice of a batch, without threads.
"""
