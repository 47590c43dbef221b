"""The metric callback: what it measures, and its reports."""
