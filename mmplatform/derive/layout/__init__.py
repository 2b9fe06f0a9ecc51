"""Layout: describes a screenshot by its lines and pixels, without a model."""
