"""`mmplatform doctor`: checks of this machine and of configured servers, each with its fix."""
