"""`mmplatform doctor`: checks this machine and the configured servers, each finding with its fix."""
