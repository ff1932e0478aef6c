"""Assets besides the chain: every module here is loaded, and nothing lists them. See docs/extending.md."""
