"""The page: NiceGUI's widgets for the views. No other part of the app imports the library."""
