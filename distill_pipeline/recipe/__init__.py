"""What a student is made of: the `Recipe`, its fields and choices, presets, reading and writing, sweeps."""
