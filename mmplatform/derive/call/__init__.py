"""Calls: a fold over the chunks of one call into utterances and passages."""
