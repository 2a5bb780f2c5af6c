"""What references stand for in a store in S3: a small object each, so that machines need no lock."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.store.holdings import StoredName
from edgelift.store.s3_folder import BucketFolder, Entry

Kind = Literal["names", "resolved"]  # tagged manifests, and hints: see `S3Store`
_PARALLEL = 16
_FRESH = 86_400.0  # seconds; a name that is used more often than once a day is not written anew each time


class _Name(BaseModel):
    """A reference, and what it stands for."""

    model_config = ConfigDict(frozen=True)

    reference: str
    descriptor: Descriptor


class S3Names:
    """The names of one `kind` in `folder`."""

    def __init__(self, folder: BucketFolder, kind: Kind) -> None:
        self._folder = folder
        self._kind = kind

    def recall(self, reference: str) -> Descriptor | None:
        """What `reference` stands for; None where that is not known."""
        found = self._read(self._place(reference))
        return found[0].descriptor if found is not None and found[0].reference == reference else None

    def keep_all(self, names: Mapping[str, Descriptor]) -> None:
        """Have `names` stand for what they name, and note their use; all settle before an error is raised."""
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="names") as pool:
            futures = [pool.submit(self.keep, *name, notes_use=True) for name in names.items()]
        for future in futures:
            future.result()

    def keep(self, reference: str, descriptor: Descriptor, *, notes_use: bool = False) -> None:
        """Have `reference` stand for `descriptor`; nothing is written where it does.

        Where that is more than a day old, it is, if it `notes_use`: the object's time says when it was used.
        """
        place, wanted = self._place(reference), _Name(reference=reference, descriptor=descriptor.plain())
        found = self._read(place)
        if found is None or found[0] != wanted or (notes_use and found[1] > _FRESH):
            self._folder.write(place, wanted.model_dump_json(by_alias=True, exclude_none=True).encode())

    def all(self) -> list[StoredName]:
        """All of them, by reference; what cannot be read is none. `used` is when it was written."""
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="names") as pool:
            found = pool.map(self._stored, list(self._folder.entries(f"{self._kind}/")))
            return sorted((each for each in found if each is not None), key=lambda each: each.reference)

    def remove(self, references: Iterable[str]) -> None:
        """Take names away; what they stood for stays."""
        self._folder.remove([self._place(reference) for reference in references])

    def _stored(self, entry: Entry) -> StoredName | None:
        found = self._read(entry.name)
        return StoredName(found[0].reference, found[0].descriptor, entry.modified) if found is not None else None

    def _read(self, place: str) -> tuple[_Name, float] | None:
        """What stands there, and its age (seconds); None where nothing does, or what is none of ours."""
        found = self._folder.read(place)
        try:
            return (_Name.model_validate_json(found[0]), found[1].age) if found is not None else None
        except ValidationError:
            return None

    def _place(self, reference: str) -> str:
        return f"{self._kind}/{Digest.of(reference.encode()).hex}.json"
