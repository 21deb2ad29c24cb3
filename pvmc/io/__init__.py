"""Files: the results of a run (written on rank 0, readable while they grow) and what produced them."""
