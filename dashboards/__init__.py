"""Records to tables, tables to figures, figures to a report."""
