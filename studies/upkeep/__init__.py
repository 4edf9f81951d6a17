"""What is done with studies that are there: requests, changes, archives, retention, repair."""
