"""One module per figure: a table of plain data, and a figure drawn from it."""
