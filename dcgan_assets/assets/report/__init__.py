"""The report: every figure and table of the paper beside what was made here."""
