"""Side-by-side measurements: the usual way to an offline image, and ours. Run bench/bench.py."""
