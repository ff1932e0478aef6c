"""From the teacher's embeddings to the student's rows: directions, weights, ridge regression. Arrays in, arrays out."""
