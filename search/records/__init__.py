"""Reading and writing the records of a study."""
