"""What was found, for people: terminal tables, figures, one HTML page, one JSON object. Computes nothing that was not counted."""
