"""The stand-in Palette API and the sample content that `edgelift demo` runs on."""
