"""What `quality.py` is made of: problems, methods, cells, their results and the report."""
