"""The one code path from a log record to artifacts: parse → gate → derive → release.

The stream's consumers and a reprocessing run call the same functions with the same derivers; only who reads the log and
who lands the outcome differs (Kreps, "Questioning the Lambda Architecture", 2014).
"""
