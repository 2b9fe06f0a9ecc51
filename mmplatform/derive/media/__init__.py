"""Media: bytes of audio and images, probed and decoded."""
