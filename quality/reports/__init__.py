"""Reports: figures of a day or an hour. Nothing here passes or fails."""
