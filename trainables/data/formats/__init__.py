"""One module for each layout of a data set, and the table that names them."""
