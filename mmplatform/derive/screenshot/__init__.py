"""Screenshots: OCR, redaction, a caption, passages."""
