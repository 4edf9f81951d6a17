"""Promotion: shortlist, replicates, choice, and the one evaluation on the test split."""
