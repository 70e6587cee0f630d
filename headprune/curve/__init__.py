"""Many finished runs side by side: tables, figures and a page of quality against heads."""
