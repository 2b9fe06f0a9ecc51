"""Mutates real media files, and checks that nothing is acknowledged that is then neither derived nor named."""
