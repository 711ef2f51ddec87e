"""The matrix: methods x subsets x folds x seeds, every cell made once, by processes here or tasks on a cluster."""
