"""Screenshots: OCR, redaction, caption, passages."""
