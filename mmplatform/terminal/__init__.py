"""Terminal: requests to the running platform, and their answers as text, for the command line and the demo."""
