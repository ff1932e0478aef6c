"""How each runtime loads a release: the card's snippets. `make test-runtimes` runs every one of them."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from distill_pipeline.release.variants import ONNX, ROUTER

ROUTER_TITLE = "sentence-transformers, Router"


@dataclass(frozen=True)
class Snippet:
    """A few lines that make `embeddings` of `texts`, and for a database `found`, the texts nearest to `query`."""

    runtime: str
    code: str
    note: str = ""
    language: str = "python"


def snippets(place: str, dims: int, dtype: str, *, on_hub: bool, variants: Collection[str] = ()) -> Iterator[Snippet]:
    """Yield the snippets for a release.

    Args:
        place: The repository, or the release's folder.
        dims: Dimensions of the student.
        dtype: Of its rows.
        on_hub: Whether the place is a repository.
        variants: Those that the release holds.
    """
    yield _sentence_transformers(place, dtype)
    if ROUTER in variants:
        yield _router(place, on_hub=on_hub)
    if ONNX in variants:
        yield Snippet("FastEmbed", _FASTEMBED.format(place=place, dims=dims, path="" if on_hub else _folder(place)))
        yield Snippet(
            "transformers.js",
            _TRANSFORMERS_JS.format(place=place),
            note='`dtype` is also `"fp16"` or `"q8"`, whose numbers differ by up to 0.01. '
            '`pipeline("feature-extraction")` with `pooling: "mean"` and '
            "`normalize: true` gives the same, but NaN for a text without a known word.",
            language="js",
        )
    yield Snippet("LangChain", _LANGCHAIN.format(place=place))
    yield Snippet("LlamaIndex", _LLAMA_INDEX.format(place=place))
    yield Snippet("txtai", _TXTAI.format(place=place), note="It gives NaN for a text without a known word.")
    for runtime, code in (("Qdrant", _QDRANT), ("Chroma", _CHROMA), ("LanceDB", _LANCEDB)):
        yield Snippet(runtime, f"{_ENCODED.format(place=place)}\n{code.format(dims=dims)}")


def _sentence_transformers(place: str, dtype: str) -> Snippet:
    half = dtype == "float16"
    note = "Without `.float()` it gives NaN for a text without a known word." if half else ""
    if dtype == "int8":
        note = "From version 6 on."
    return Snippet(
        "sentence-transformers", _SENTENCE_TRANSFORMERS.format(place=place, float=".float()" if half else ""), note
    )


def _router(place: str, *, on_hub: bool) -> Snippet:
    folder = f'snapshot_download("{place}", allow_patterns="router/*") + "/router"' if on_hub else f'"{place}/router"'
    imports = "from huggingface_hub import snapshot_download\n" if on_hub else ""
    return Snippet(
        ROUTER_TITLE,
        f"{imports}{_ROUTER.format(folder=folder)}",
        "Static queries, the teacher's documents; the scores are dot products.",
    )


def _folder(place: str) -> str:
    return f', specific_model_path="{place}"'


_SENTENCE_TRANSFORMERS = """\
from sentence_transformers import SentenceTransformer

embeddings = SentenceTransformer("{place}"){float}.encode(texts)
"""

_ROUTER = """\
from sentence_transformers import SentenceTransformer

model = SentenceTransformer({folder})
embeddings = model.encode_query(texts)
scores = model.similarity(embeddings, model.encode_document(texts))
"""

_FASTEMBED = """\
from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType

TextEmbedding.add_custom_model(
    "{place}", PoolingType.DISABLED, normalization=False, sources=ModelSource(hf="{place}"), dim={dims}
)
embeddings = list(TextEmbedding("{place}"{path}).embed(texts))
"""

_TRANSFORMERS_JS = """\
import {{ AutoModel, AutoTokenizer }} from "@huggingface/transformers";

const tokenizer = await AutoTokenizer.from_pretrained("{place}");
const model = await AutoModel.from_pretrained("{place}", {{ dtype: "fp32" }});
const inputs = tokenizer(texts, {{ padding: true, truncation: true }});
const embeddings = (await model(inputs)).sentence_embedding.tolist();
"""

_LANGCHAIN = """\
from langchain_community.embeddings import Model2vecEmbeddings

embeddings = Model2vecEmbeddings("{place}").embed_documents(texts)
"""

_LLAMA_INDEX = """\
from langchain_community.embeddings import Model2vecEmbeddings
from llama_index.embeddings.langchain import LangchainEmbedding

embeddings = LangchainEmbedding(Model2vecEmbeddings("{place}")).get_text_embedding_batch(texts)
"""

_TXTAI = """\
from txtai import Embeddings

index = Embeddings(path="{place}", content=True)
index.index(texts)
found = [row["text"] for row in index.search(query, 3)]
embeddings = index.batchtransform(texts)
"""

_ENCODED = """\
from model2vec import StaticModel

model = StaticModel.from_pretrained("{place}")
embeddings = model.encode(texts)
"""

_QDRANT = """\
from qdrant_client import QdrantClient, models

client = QdrantClient(":memory:")
client.create_collection("texts", models.VectorParams(size={dims}, distance=models.Distance.COSINE))
client.upload_collection("texts", embeddings, [{{"text": text}} for text in texts], ids=range(len(texts)))
found = [point.payload["text"] for point in client.query_points("texts", model.encode(query), limit=3).points]
"""

_CHROMA = """\
import chromadb

collection = chromadb.EphemeralClient().create_collection("texts", configuration={{"hnsw": {{"space": "cosine"}}}})
collection.add(ids=[str(number) for number in range(len(texts))], documents=texts, embeddings=embeddings)
found = collection.query(query_embeddings=model.encode([query]), n_results=3)["documents"][0]
"""

_LANCEDB = """\
import lancedb

rows = [{{"text": text, "vector": vector}} for text, vector in zip(texts, embeddings)]
table = lancedb.connect("index").create_table("texts", rows)
found = [row["text"] for row in table.search(model.encode(query)).distance_type("cosine").limit(3).to_list()]
"""
