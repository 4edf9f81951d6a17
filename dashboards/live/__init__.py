"""Live pages: the studies of a workspace in a browser, read and never written."""
