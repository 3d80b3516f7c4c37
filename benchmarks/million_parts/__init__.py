"""What `benchmarks/million.py` is made of."""
