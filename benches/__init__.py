"""Benchmarks: workloads, the whole-process comparison (`python -m benches.run`) and in-process ones for pytest."""
