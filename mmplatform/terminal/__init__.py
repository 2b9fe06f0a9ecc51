"""Terminal: the running platform asked, and its answers as text; the command line and the demo share both."""
