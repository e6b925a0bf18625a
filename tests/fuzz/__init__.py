"""Attacks on every reader of files: mutated files, and structured ones of Hypothesis.

A reader gives a sane result, or raises its documented error. Any other end is a finding.

    make fuzz MINUTES=30                                          all readers
    python -m tests.fuzz --minutes 5 --target npz                 one reader
    python -m tests.fuzz --target npz --replay FILE               one saved input again
"""
