"""Study files: their settings, reading, checks and recipes."""
