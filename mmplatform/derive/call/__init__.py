"""Calls: folds the chunks of one call into utterances and passages."""
