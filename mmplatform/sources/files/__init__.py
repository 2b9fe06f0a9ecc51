"""Files on a disk: discovered, read as calls, screenshots or chats, uploaded, and reported on."""
