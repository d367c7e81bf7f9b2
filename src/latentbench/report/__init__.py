"""The report of a study: notebooks, a page and a PDF."""
