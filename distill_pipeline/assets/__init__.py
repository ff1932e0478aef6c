"""The chain's assets, one module each: the recipe in, the numerics called, the output stored, metadata out."""
