"""The analyses, one a file: each is what `plug` says, and named in `survey.ANALYSES`."""
