"""Engines: what runs a frozen network. `skscan.engines.choice` says which one is taken when."""
