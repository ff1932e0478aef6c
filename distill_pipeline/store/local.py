"""The stage outputs on this machine, addressed by fingerprint: complete and verified, or absent.

A folder `STAGE/FINGERPRINT/` appears by one rename, after its `manifest.json` was written last. Until then the work
is in `STAGE/.FINGERPRINT.ATTEMPT.partial/`, a folder of this attempt alone; a resumable stage takes over the finished
parts of an earlier attempt. So two that make the same output at once, because locks do nothing on a file system, waste
time and harm nothing. With a store that machines share (`shared.py`), what is missing here is fetched from there, and
what is made here is uploaded.
Knows nothing of recipes' meaning, numerics or Dagster.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from distill_pipeline.store.disk import (
    MANIFEST,
    file_table,
    let_others_read,
    remove,
    replace_folder,
    take_over,
    write_json,
)
from distill_pipeline.store.environment import library_versions, machine
from distill_pipeline.store.keys import StageKey, fingerprint, recorded
from distill_pipeline.store.locks import locked, locks_work
from distill_pipeline.store.output import (
    Output,
    OutputDamaged,
    OutputMissing,
    StoreError,
    read_manifest,
    sealed,
    verify_output,
)
from distill_pipeline.store.remote_folder import RemoteDenied

if TYPE_CHECKING:
    from distill_pipeline.store.shared import RemoteStore

Log = Callable[[str], None]

_TOLD: set[Path] = set()
"""The stores of which this process has said that locks do nothing there."""


class Store:
    """The stage outputs below one folder, shared with other machines if there is a remote store."""

    def __init__(self, root: Path, remote: RemoteStore | None = None) -> None:
        self.root = root
        self.remote = remote

    @property
    def records(self) -> Path:
        """Folder of the records: for each recipe, what its stages were last made of."""
        return self.root / "recipes"

    def folder(self, key: StageKey) -> Path:
        """Return the output's folder, whether it exists or not."""
        return self.root / key.stage / key.fingerprint

    def uri(self, key: StageKey) -> str:
        """Return the output's URI: in the shared store if there is one, else its folder's."""
        if self.remote:
            return f"{self.remote.url}/{key.stage}/{key.fingerprint}"
        return self.folder(key).absolute().as_uri()

    def lock(self, key: StageKey) -> Path:
        """Return the lock that a process holds while it makes or removes the output."""
        return self._hidden(key, "lock")

    def _attempt(self, key: StageKey) -> Path:
        """Return a folder to make or fetch an output in, of a name that no other attempt has."""
        return self._hidden(key, f"{uuid4().hex}.partial")

    def verdict(self, key: StageKey) -> Path:
        """Return the file where a check keeps what it found in the output."""
        return self._hidden(key, "verdict")

    def _hidden(self, key: StageKey, suffix: str) -> Path:
        return self.root / key.stage / f".{key.fingerprint}.{suffix}"

    def _locked(self, key: StageKey, log: Log) -> AbstractContextManager[None]:
        waiting = f"another run is making {key.stage} {key.fingerprint[:12]}; waiting for it"
        return locked(self.lock(key), lambda: log(waiting))

    def get(self, key: StageKey) -> Output:
        """Return the output after hashing each of its files; it is fetched if only the remote store has it.

        Raises:
            OutputMissing: It isn't in the store.
            OutputDamaged: A file is missing or changed, or the manifest can't be read.
        """
        try:
            return self._read(key)
        except StoreError:
            if self.remote is None:
                raise
            with self._locked(key, lambda _: None):
                return self._read_or_fetch(key, lambda _: None)

    def _read(self, key: StageKey) -> Output:
        folder = self.folder(key)
        if not os.path.lexists(folder):
            raise OutputMissing(f"{key.stage} {key.fingerprint[:12]} is not in the store ({self.root})")
        return verify_output(key, folder)

    def _read_or_fetch(self, key: StageKey, log: Log) -> Output:
        """Return the output, fetched from the remote store if need be. The caller holds the lock."""
        try:
            return self._read(key)
        except StoreError as error:
            if self.remote is None or not self.remote.contains(key):
                raise
            reason = f": {error}" if isinstance(error, OutputDamaged) else ""
            log(f"fetching {key.stage} {key.fingerprint[:12]} from {self.remote.url}{reason}")
        fetched = self._attempt(key)
        try:
            manifest = self.remote.fetch(key, fetched).manifest
            replace_folder(fetched, self.folder(key))
        finally:
            remove(fetched)
        return Output(key, self.folder(key), manifest)

    def manifest(self, key: StageKey) -> Mapping[str, Any] | None:
        """Return an output's manifest without looking at its files, or None when the store has no intact one."""
        try:
            return read_manifest((self.folder(key) / MANIFEST).read_bytes())
        except (OSError, ValueError):
            return self.remote.manifest(key) if self.remote else None

    def contains(self, key: StageKey) -> bool:
        """Whether the output's manifest is in the store; its files are not read."""
        here = os.path.isfile(self.folder(key) / MANIFEST)  # noqa: PTH113 - no error where it can't be looked at
        return here or (self.remote is not None and self.remote.contains(key))

    def manifests(self, stage: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """Yield folder and manifest of each output of a stage on this machine; the other files are not read."""
        for path in sorted((self.root / stage).glob(f"[!.]*/{MANIFEST}")):
            try:
                manifest = read_manifest(path.read_bytes())
                intact = manifest["fingerprint"] == fingerprint(manifest["made_of"]) == path.parent.name
            except (OSError, ValueError, KeyError, TypeError):  # being removed, or damaged: `get` reports that
                continue
            if intact:
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
        """Return the output, made if the store lacks it, and whether the store had it.

        Of two callers on one machine with the same key, one makes the output while the other waits for it.

        Args:
            key: The output's key.
            make: Fills the folder it is given, and returns facts for the manifest.
            force: Make the output even if the store has it.
            resumable: `make` recognises the finished parts of an earlier, killed attempt.
            still_valid: Whether an intact output may be used; otherwise it is made again.
            run_id: Id of the Dagster run, for the manifest.
            recipe_name: Recipe to record the inputs for, before the lock is released: so `gc` never finds an output
                that was made and isn't recorded yet.
            log: Receives a line when the caller waits, or when an output was fetched, uploaded or found damaged.
        """
        with self._locked(key, log):
            if self.root not in _TOLD and not locks_work(self.root):
                _TOLD.add(self.root)
                log(f"locks do nothing on the file system of {self.root}: runs at once may do the same work twice")
            if not force:
                try:
                    output = self._read_or_fetch(key, log)
                    if still_valid(output):
                        self._record_and_upload(output, recipe_name, log, made_now=False)
                        return output, True
                except OutputMissing:
                    pass
                except OutputDamaged as damage:
                    log(f"{damage}; making it again")
            if self.remote is not None:
                try:
                    self.remote.check_writable()
                except RemoteDenied as denied:
                    log(f"{denied}. It can be read, so the work goes on; its result stays on this machine")
            before = self.manifest(key)
            attempt = self._begin(key, resume=resumable and not force)
            started = time.monotonic()
            facts = make(attempt)
            output = self._finish(key, attempt, facts, time.monotonic() - started, run_id)
            if before is not None:
                log(output.compared_with(before))
            self._record_and_upload(output, recipe_name, log, made_now=True)
            return output, False

    def _begin(self, key: StageKey, *, resume: bool) -> Path:
        """Return a new attempt's folder, with what the most advanced of the earlier attempts finished."""
        attempt = self._attempt(key)
        earlier = [*attempt.parent.glob(f".{key.fingerprint}*.partial")]
        attempt.mkdir(parents=True)
        if resume and earlier:
            take_over(max(earlier, key=lambda path: len([*path.glob("*")])), attempt)
        if locks_work(self.root):  # and this process holds the lock, so the others are dead
            for path in earlier:
                remove(path)
        return attempt

    def _finish(
        self, key: StageKey, attempt: Path, facts: Mapping[str, Any], seconds: float, run_id: str | None
    ) -> Output:
        """Write the manifest and move the output to its place."""
        manifest = sealed(
            {
                "fingerprint": key.fingerprint,
                "made_of": key.inputs,
                "files": file_table(attempt),
                "facts": facts,
                "seconds": round(seconds, 3),
                "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "run_id": run_id,
                "machine": machine(),
                "versions": library_versions(),
            }
        )
        write_json(attempt / MANIFEST, manifest)
        let_others_read(attempt, attempt / MANIFEST)
        folder = self.folder(key)
        replace_folder(attempt, folder)
        # A resumable stage's notes about its finished parts go only now: killed before, it resumes.
        for path in folder.glob(".*"):
            path.unlink(missing_ok=True)
        return Output(key, folder, manifest)

    def _record_and_upload(self, output: Output, recipe_name: str | None, log: Log, *, made_now: bool) -> None:
        """Record the inputs here, upload the output, and only then record them in the remote store.

        An output found here may be absent there, if the run that made it was killed.
        """
        if recipe_name is not None:
            self._record_here(recipe_name, output.key)  # first, so that `gc` keeps it when the upload fails
        if self.remote is None:
            return
        with suppress(RemoteDenied):  # said before the work; nothing here needs the upload
            if made_now or not self.remote.contains(output.key):
                started = time.monotonic()
                self.remote.publish(output)
                log(f"uploaded {output.size:,} bytes to {self.remote.url} in {time.monotonic() - started:.1f} s")
            if recipe_name is not None:
                self.remote.record_inputs(recipe_name, output.key)

    def record_inputs(self, recipe_name: str, key: StageKey) -> None:
        """Record what a recipe's stage was last made of, on this machine and for the others."""
        self._record_here(recipe_name, key)
        if self.remote is not None:
            with suppress(RemoteDenied):
                self.remote.record_inputs(recipe_name, key)

    def _record_here(self, recipe_name: str, key: StageKey) -> None:
        path = self.records / recipe_name / f"{key.stage}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            remove(path)
        write_json(path, key.record)

    def recorded_inputs(self, recipe_name: str, stage: str) -> Mapping[str, Any] | None:
        """Return the inputs that a recipe's stage was last made of, on any machine, or None."""
        records: list[object] = [self.remote.record(recipe_name, stage)] if self.remote else []
        with suppress(OSError, ValueError):
            records.append(json.loads((self.records / recipe_name / f"{stage}.json").read_text(encoding="utf-8")))
        return next(filter(None, (recorded(record, stage) for record in records)), None)


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
            f"dagster asset materialize --select {key.stage} --partition {recipe_name} -m distill_pipeline.definitions"
        ) from error
