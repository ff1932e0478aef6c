"""The student as a Model2Vec folder: writing it, encoding files and searching with it."""
