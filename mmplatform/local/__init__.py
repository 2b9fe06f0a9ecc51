"""The embedded stack: what `mmplatform up` starts, so that one machine needs neither Java nor Docker."""
