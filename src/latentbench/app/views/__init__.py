"""Views: from settings to images of every model, and to the lines of Python that make them."""
