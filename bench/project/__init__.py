"""The site that the benchmarks run: Clarion and its peers, installed side by side."""
