"""Media: probes and decodes the bytes of audio and images."""
