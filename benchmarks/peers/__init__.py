"""The same chats with the same weights, here and in what others would build it with."""
