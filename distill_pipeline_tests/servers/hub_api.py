"""What a repository of the tests' Hub holds, and the requests below its name."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

LFS_SUFFIXES = (".safetensors", ".parquet", ".onnx", ".bin", ".png")


@dataclass
class Commit:
    """One commit: all files that it holds."""

    oid: str
    parent: str | None
    title: str
    files: dict[str, bytes]


@dataclass
class Repository:
    """Commits in the order made, and what the refs point at."""

    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    pulls: dict[int, str] = field(default_factory=dict)
    private: bool = False
    gated: bool = False

    def commit(self, ref: str, title: str, files: dict[str, bytes]) -> Commit:
        """Put a commit on a ref."""
        parent = self.refs.get(ref)
        # Of the content too: huggingface_hub's cache, which tests share, trusts a commit's name.
        content = [(path, git_blob(files[path])) for path in sorted(files)]
        made_of = f"{ref}{title}{len(self.commits)}{content}".encode()
        oid = hashlib.sha1(made_of, usedforsecurity=False).hexdigest()
        self.commits[oid] = Commit(oid, parent, title, files)
        self.refs[ref] = oid
        return self.commits[oid]

    def find(self, revision: str) -> Commit | None:
        """Return the commit that a branch, tag, pull request or oid means."""
        for ref in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if ref in self.refs:
                return self.commits[self.refs[ref]]
        return self.commits.get(revision)

    @property
    def head(self) -> Commit:
        """The head of main."""
        return self.commits[self.refs["refs/heads/main"]]


def git_blob(content: bytes) -> str:
    """Return git's hash of a file's content."""
    from huggingface_hub.utils.sha import git_hash  # not before HF_ENDPOINT is set

    return git_hash(content)


def resolve(repository: Repository, revision: str, path: str) -> tuple[int, Any, dict[str, str]]:
    if repository.gated:
        return 403, {}, {"X-Error-Code": "GatedRepo"}
    commit = repository.find(revision)
    if commit is None:
        return 404, {}, {"X-Error-Code": "RevisionNotFound"}
    if path not in commit.files:
        return 404, {}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit.oid}
    content = commit.files[path]
    lfs = path.endswith(LFS_SUFFIXES)
    etag = hashlib.sha256(content).hexdigest() if lfs else git_blob(content)
    return 200, content, {"X-Repo-Commit": commit.oid, "ETag": f'"{etag}"', "Content-Length": str(len(content))}


@dataclass
class Api:
    """The requests below /api/models/OWNER/NAME."""

    url: str
    lfs: dict[str, bytes]
    name: str
    repository: Repository
    body: bytes
    query: dict[str, list[str]]
    race: bool

    def answer(self, rest: list[str]) -> tuple[int, Any, dict[str, str]]:  # noqa: PLR0911
        """Answer one request; `rest` is the path after the repository's name."""
        what = rest[0] if rest else "revision"
        argument = "/".join(rest[1:]) or "main"
        plain: dict[str, Callable[[], Any]] = {"refs": self._refs, "discussions": self._discussions}
        if what in plain:
            return 200, plain[what](), {}
        if what == "branch":
            ref = f"refs/heads/{argument}"
            if ref in self.repository.refs:
                return 409, {"error": "exists"}, {}
            start = json.loads(self.body).get("startingPoint", "main")
            found = self.repository.find(start)
            assert found is not None
            self.repository.refs[ref] = found.oid
            return 200, {}, {}
        commit = self.repository.find(argument)
        if commit is None:
            return 404, {}, {"X-Error-Code": "RevisionNotFound"}
        if what == "tag":
            ref = f"refs/tags/{json.loads(self.body)['tag']}"
            if ref in self.repository.refs:
                return 409, {"error": "exists"}, {}
            self.repository.refs[ref] = commit.oid
            return 200, {}, {}
        if what == "commit":
            return self._commit(argument)
        return (
            200,
            {"revision": self._info, "tree": _tree, "commits": self._log, "preupload": self._preupload}[what](commit),
            {},
        )

    def _info(self, commit: Commit) -> Any:
        siblings = [{"rfilename": path} for path in commit.files]
        return {
            "id": self.name,
            "sha": commit.oid,
            "private": self.repository.private,
            "siblings": siblings,
            "gated": "auto" if self.repository.gated else False,
        }

    def _log(self, commit: Commit) -> Any:
        found: list[Commit] = []
        at: Commit | None = commit
        while at is not None:
            found.append(at)
            at = self.repository.commits.get(at.parent or "")
        date = "2026-01-01T00:00:00.000Z"
        return [{"id": c.oid, "title": c.title, "message": "", "authors": [], "date": date} for c in found]

    def _preupload(self, _: Commit) -> Any:
        return {
            "files": [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(LFS_SUFFIXES) else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(self.body)["files"]
            ]
        }

    def _refs(self) -> Any:
        def named(prefix: str) -> list[dict[str, str]]:
            refs = {ref: oid for ref, oid in self.repository.refs.items() if ref.startswith(prefix)}
            return [{"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": oid} for ref, oid in refs.items()]

        return {"branches": named("refs/heads/"), "tags": named("refs/tags/"), "converts": []}

    def _discussions(self) -> Any:
        found = [
            {
                "num": number,
                "title": title,
                "status": "open",
                "isPullRequest": True,
                "author": {"name": "tester"},
                "createdAt": "2026-01-01T00:00:00.000Z",
                "repo": {"name": self.name, "type": "model"},
            }
            for number, title in self.repository.pulls.items()
        ]
        return {"discussions": found, "count": len(found), "start": 0}

    def _commit(self, revision: str) -> tuple[int, Any, dict[str, str]]:
        lines = [json.loads(line) for line in self.body.splitlines()]
        header = lines[0]["value"]
        ref = f"refs/heads/{revision}"
        if self.race:
            files = {**self.repository.head.files, "someone.txt": b"else"}
            self.repository.commit(ref, "Someone else", files)
        pull_request = "create_pr" in self.query
        parent = header.get("parentCommit")
        if not pull_request and parent is not None and self.repository.refs[ref] != parent:
            return 412, {"error": "A commit has happened since. Please refresh and try again."}, {}
        start = self.repository.commits[parent or self.repository.refs[ref]]
        files = dict(start.files)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.lfs[value["oid"]]
            else:
                files.pop(value["path"], None)
        url = None
        if pull_request:
            number = len(self.repository.pulls) + 1
            self.repository.pulls[number] = header["summary"]
            ref = f"refs/pr/{number}"
            self.repository.refs[ref] = start.oid
            url = f"{self.url}/{self.name}/discussions/{number}"
        commit = self.repository.commit(ref, header["summary"], files)
        answer = {"commitUrl": f"{self.url}/{self.name}/commit/{commit.oid}", "commitOid": commit.oid}
        return 200, {**answer, "pullRequestUrl": url}, {}


def _tree(commit: Commit) -> Any:
    entries = []
    for path, content in commit.files.items():
        entry = {"type": "file", "path": path, "size": len(content), "oid": git_blob(content)}
        if path.endswith(LFS_SUFFIXES):
            entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
        entries.append(entry)
    return entries
