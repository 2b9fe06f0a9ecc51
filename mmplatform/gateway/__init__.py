"""The gateway process: the HTTP application, its health, its sockets."""
