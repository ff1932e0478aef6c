"""The student's vocabulary: its entries, their frequencies, and the student's tokenizer."""
