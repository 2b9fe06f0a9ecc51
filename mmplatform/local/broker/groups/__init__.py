"""Consumer groups: membership and rebalances (the classic protocol), and committed offsets."""
