"""Stage outputs, addressed by fingerprint: whole and verified, or not there.

A folder `STAGE/FINGERPRINT/` appears by one rename, after its `manifest.json` was written last. Until then
the work lives in `STAGE/.FINGERPRINT.partial/`, where a resumable stage finds its finished parts again.
With a store that machines share (`remote_store.py`), this folder is what a machine has of it: what is missing here is
fetched from there, and what is made here is uploaded.
Knows nothing of recipes' meaning, numerics or Dagster.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill_pipeline.store.disk import MANIFEST, file_table, locked, replace_folder, write_json
from distill_pipeline.store.environment import library_versions, machine
from distill_pipeline.store.keys import StageKey, fingerprint
from distill_pipeline.store.output import Output, OutputDamaged, OutputMissing, StoreError, verify_output

if TYPE_CHECKING:
    from distill_pipeline.store.shared import RemoteStore

Log = Callable[[str], None]


class Store:
    """The stage outputs below one folder, shared with other machines if there is a remote store."""

    def __init__(self, root: Path, remote: RemoteStore | None = None) -> None:
        self.root = root
        self.remote = remote

    def folder(self, key: StageKey) -> Path:
        """Return where this output is, or would be."""
        return self.root / key.stage / key.fingerprint

    def uri(self, key: StageKey) -> str:
        """Return the output's URI: in the shared store if there is one, else its folder's."""
        return (
            f"{self.remote.url}/{key.stage}/{key.fingerprint}" if self.remote else self.folder(key).absolute().as_uri()
        )

    def lock(self, key: StageKey) -> Path:
        """Return the lock that who makes, or removes, this output holds."""
        return self._hidden(key, "lock")

    def verdict(self, key: StageKey) -> Path:
        """Return where a check keeps what it found in this output."""
        return self._hidden(key, "verdict")

    def get(self, key: StageKey) -> Output:
        """Return the output after hashing each of its files; it is fetched if only the remote store has it.

        Raises:
            OutputMissing: It isn't there.
            OutputDamaged: A file is missing or was changed, or the manifest can't be read.
        """
        try:
            return self._here(key)
        except StoreError:
            if self.remote is None:
                raise
            with self._locked(key):
                return self._find(key, lambda _: None)

    def _here(self, key: StageKey) -> Output:
        folder = self.folder(key)
        if not folder.is_dir():
            raise OutputMissing(f"{key.stage} {key.fingerprint[:12]} is not in the store ({self.root})")
        return verify_output(key, folder)

    def _find(self, key: StageKey, log: Log) -> Output:
        """Return the output from here or, to here, from the remote store. The caller holds the lock."""
        try:
            return self._here(key)
        except StoreError as error:
            if self.remote is None or not self.remote.contains(key):
                raise
            reason = f": {error}" if isinstance(error, OutputDamaged) else ""
            log(f"fetching {key.stage} {key.fingerprint[:12]} from {self.remote.url}{reason}")
        fetched = self._hidden(key, "fetched")
        shutil.rmtree(fetched, ignore_errors=True)
        output = self.remote.fetch(key, fetched)
        replace_folder(fetched, self.folder(key))
        return Output(key, self.folder(key), output.manifest)

    def _hidden(self, key: StageKey, suffix: str) -> Path:
        return self.root / key.stage / f".{key.fingerprint}.{suffix}"

    def _locked(self, key: StageKey, log: Log = lambda _: None) -> AbstractContextManager[None]:
        waiting = f"another run is making {key.stage} {key.fingerprint[:12]}; waiting for it"
        return locked(self.lock(key), lambda: log(waiting))

    def manifest(self, key: StageKey) -> Mapping[str, Any] | None:
        """Return an output's manifest without looking at its files, or None when it isn't there."""
        try:
            manifest: Mapping[str, Any] = json.loads((self.folder(key) / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return self.remote.manifest(key) if self.remote else None
        return manifest

    def contains(self, key: StageKey) -> bool:
        """Whether the output is there by its manifest, without reading its files."""
        return (self.folder(key) / MANIFEST).is_file() or (self.remote is not None and self.remote.contains(key))

    def manifests(self, stage: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """Yield the folder and manifest of each output of a stage that is here, whatever made it; files unread."""
        for path in sorted((self.root / stage).glob(f"[!.]*/{MANIFEST}")):
            try:
                manifest = json.loads(path.read_text(encoding="utf-8"))
                whole = manifest["fingerprint"] == fingerprint(manifest["made_of"]) == path.parent.name
            except (OSError, ValueError, KeyError, TypeError):  # being removed, or damaged: who wants it will say so
                continue
            if whole:
                yield path.parent, manifest

    def get_or_make(
        self,
        key: StageKey,
        make: Callable[[Path], Mapping[str, Any]],
        *,
        force: bool = False,
        resumable: bool = False,
        still_valid: Callable[[Output], bool] = lambda _: True,
        run_id: str | None = None,
        recipe_name: str | None = None,
        log: Log = lambda _: None,
    ) -> tuple[Output, bool]:
        """Return the output and whether it was there already; make it otherwise.

        Of two callers on one machine with the same key, one makes the output while the other waits and then finds it.

        Args:
            key: Which output.
            make: Fills the folder it is given, returns facts to keep in the manifest.
            force: Make it even when it is there.
            resumable: `make` recognises the finished parts of an earlier, killed attempt.
            still_valid: Asked about an output found intact; false makes it anew.
            run_id: Id of the run that makes it, for the manifest.
            recipe_name: Recipe to remember it for. Done before the lock is released, so that whoever removes what no
                recipe reaches never finds an output between being made and being remembered.
            log: Receives a line when the caller waits, or when an output was fetched or found damaged.
        """
        with self._locked(key, log):
            if not force:
                try:
                    output = self._find(key, log)
                    if still_valid(output):
                        self._keep(output, recipe_name, log, unless_there=True)
                        return output, True
                except OutputMissing:
                    pass
                except OutputDamaged as damage:
                    log(f"{damage}; making it again")
            if self.remote is not None:
                self.remote.be_writable()
            partial = self._hidden(key, "partial")
            if partial.exists() and (force or not resumable):
                shutil.rmtree(partial)
            partial.mkdir(parents=True, exist_ok=True)
            started = time.monotonic()
            facts = make(partial)
            output = self._finish(key, partial, facts, time.monotonic() - started, run_id)
            self._keep(output, recipe_name, log)
            return output, False

    def _keep(self, output: Output, recipe_name: str | None, log: Log, *, unless_there: bool = False) -> None:
        """Note here whose output this is, upload it, and only then note it there.

        One that was found here may miss there, when the run that made it was killed.
        """
        if recipe_name is not None:
            self._record_here(recipe_name, output.key)  # first, so that it stays here when the upload fails
        if self.remote is None:
            return
        if not (unless_there and self.remote.contains(output.key)):
            started = time.monotonic()
            self.remote.publish(output)
            log(f"uploaded {output.size:,} bytes to {self.remote.url} in {time.monotonic() - started:.1f} s")
        if recipe_name is not None:
            self.remote.record_inputs(recipe_name, output.key.stage, _note(output.key))

    def _finish(
        self, key: StageKey, partial: Path, facts: Mapping[str, Any], seconds: float, run_id: str | None
    ) -> Output:
        manifest = {
            "fingerprint": key.fingerprint,
            "made_of": key.inputs,
            "files": file_table(partial),
            "facts": facts,
            "seconds": round(seconds, 3),
            "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "run_id": run_id,
            "machine": machine(),
            "versions": library_versions(),
        }
        write_json(partial / MANIFEST, manifest)
        replace_folder(partial, self.folder(key))
        # What a resumable stage notes about its finished parts may go only now: killed before, it resumes.
        for path in self.folder(key).glob(".*"):
            path.unlink()
        # Read back what readers will see: tuples have become lists.
        return Output(key, self.folder(key), json.loads((self.folder(key) / MANIFEST).read_text(encoding="utf-8")))

    def record_inputs(self, recipe_name: str, key: StageKey) -> None:
        """Note that this recipe's stage now stands at this key."""
        self._record_here(recipe_name, key)
        if self.remote is not None:
            self.remote.record_inputs(recipe_name, key.stage, _note(key))

    def _record_here(self, recipe_name: str, key: StageKey) -> None:
        path = self._record_path(recipe_name, key.stage)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, _note(key))

    def recorded_inputs(self, recipe_name: str, stage: str) -> Mapping[str, Any] | None:
        """Return the inputs that this recipe's stage was last made of, on any machine, or None."""
        note = self.remote.recorded_inputs(recipe_name, stage) if self.remote else None
        try:
            if note is None:
                note = json.loads(self._record_path(recipe_name, stage).read_text(encoding="utf-8"))
            inputs: Mapping[str, Any] = note["made_of"]
        except (OSError, ValueError, KeyError):
            return None
        return inputs

    @property
    def records(self) -> Path:
        """A folder per recipe: what its stages were last made of."""
        return self.root / "recipes"

    def _record_path(self, recipe_name: str, stage: str) -> Path:
        return self.records / recipe_name / f"{stage}.json"


def _note(key: StageKey) -> Mapping[str, Any]:
    return {"fingerprint": key.fingerprint, "made_of": key.inputs}


def upstream_output(store: Store, recipe_name: str, key: StageKey) -> Output:
    """Return the verified output of an earlier stage of a recipe.

    Raises:
        StoreError: It isn't in the store or is damaged; the message says how to make it.
    """
    try:
        return store.get(key)
    except StoreError as error:
        reason = "was never made with these settings" if isinstance(error, OutputMissing) else str(error)
        raise StoreError(
            f"{recipe_name} needs {key.stage}, but it {reason}. Materialise {key.stage} first: "
            f"dagster asset materialize --select {key.stage} --partition {recipe_name} "
            "-m distill_pipeline.definitions"
        ) from error
