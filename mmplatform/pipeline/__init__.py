"""The one code path from a log record to artifacts: parse → apply contract → derive → check outputs.

The stream's consumers and a reprocessing run call the same functions with the same derivers. Only the reader of the log
and the writer of the outcome differ (Kreps, "Questioning the Lambda Architecture", 2014).
"""
