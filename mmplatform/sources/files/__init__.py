"""Files on a disk: discovery, chat records, upload of calls, screenshots and chats, and the report."""
