"""edgelift: from Palette cluster profiles to a validated site registry. This package never imports Prefect."""
