"""Benchmarks, side by side with what people use today. `python3 run.py bench` runs them all.

Each benchmark is one module: `run()` is the part that starts servers, takes samples in turn (ours,
the peer's, ours, ...) and adds rows to the table; where it is also a program (`python -m
bench.fanout clarion`), that is one sample, in a process of its own, which prints JSON.
"""
