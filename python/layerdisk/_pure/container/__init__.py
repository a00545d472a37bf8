"""What may be put around an image."""
