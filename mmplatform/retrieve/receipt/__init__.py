"""Receipts of answers: progress of the derivers, events that wait, and a fence that waits for them."""
