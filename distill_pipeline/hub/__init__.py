"""The Hugging Face Hub: patient requests, and errors that say what to do."""
