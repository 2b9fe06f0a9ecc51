"""Measures how well the product hears, reads and finds, on real speech, real screenshots and real help pages."""
