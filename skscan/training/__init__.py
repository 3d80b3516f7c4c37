"""Training: losses, starts, the clustering stage and the self-labelling stage."""
