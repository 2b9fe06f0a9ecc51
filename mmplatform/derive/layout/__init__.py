"""Layout: what a screenshot shows, read from its lines and pixels without a model."""
