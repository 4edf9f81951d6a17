"""What a study needs, examined before it runs."""
