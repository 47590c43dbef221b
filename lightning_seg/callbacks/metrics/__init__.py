"""The metric callback, its metrics and its reports."""
