"""What the teacher reads as whole texts: files, corpora and generated texts."""
