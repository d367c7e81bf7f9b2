"""From notebooks to a page and a PDF."""
