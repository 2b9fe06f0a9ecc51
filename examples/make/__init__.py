"""Makes the sample data: story → chat and questions; + flite → call; HTML + chromium → screenshots; faker → others."""
