"""Studies: files, recipes, launching, workers, promotion, vault and the command line."""
