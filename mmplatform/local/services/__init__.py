"""Services: what `mmplatform up` starts, on which ports, and how each shows that it is ready."""
