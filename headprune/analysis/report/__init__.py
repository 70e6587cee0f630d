"""The report: one HTML file that needs nothing else, made of a Result; one file a part."""
