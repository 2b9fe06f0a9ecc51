"""Room 4, answers: search with citations, and how fresh what it searches is."""
