"""What figures, tables and pages of every chapter are made of."""
