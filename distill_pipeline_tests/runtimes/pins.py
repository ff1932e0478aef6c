"""The packages of each runtime's environment, pinned here alone; the first one's version is reported."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

_MODEL2VEC, _SENTENCE_TRANSFORMERS, _TORCH = (
    f"{name}=={version(name)}" for name in ("model2vec", "sentence-transformers", "torch")
)
"""As the lock has them: torch is then installed from uv's cache."""

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "model2vec": (_MODEL2VEC,),
    "sentence-transformers": (_SENTENCE_TRANSFORMERS, _TORCH),
    "sentence-transformers, Router": (_SENTENCE_TRANSFORMERS, _TORCH),
    "FastEmbed": ("fastembed==0.9.1",),
    "transformers.js": ("@huggingface/transformers@4.3.2",),
    "LangChain": ("langchain-community==0.4.2", _MODEL2VEC),
    "LlamaIndex": ("llama-index-embeddings-langchain==0.6.0", "langchain-community==0.4.2", _MODEL2VEC),
    "txtai": ("txtai==9.14.0", _MODEL2VEC, _TORCH),
    "Qdrant": ("qdrant-client==1.20.0", _MODEL2VEC),
    "Chroma": ("chromadb==1.5.9", _MODEL2VEC),
    "LanceDB": ("lancedb==0.40.0", _MODEL2VEC),
}

CREATE_DAGSTER = "create-dagster==1.13.29"
