"""The files that a benchmark measures; those that are missing are exported."""

from __future__ import annotations

from pathlib import Path

from export.errors import ExportError
from export.external_data import external_files, file_document, whole_digest
from export.spec import ModelSpec
from parity.errors import ParityError
from parity.latency.plan import CANDIDATE, BenchPlan
from parity.latency.results import ModelFile


def find_files(plan: BenchPlan, spec: ModelSpec) -> dict[str, Path]:
    """A network's files by variant: those of the plan, and the candidate that the user named.

    Raises:
        ParityError: a named file is not there.
        ExportError: the network has no such variant, or a file is missing and cannot be exported.
    """
    found = {variant: exported_file(plan, spec, variant) for variant in plan.variants}
    named = plan.candidates.get(spec.name)
    if named is not None:
        if not named.is_file():
            raise ParityError(
                f"no file {named}", hint=f"--candidate {spec.name}=FILE.onnx names a file"
            )
        found[CANDIDATE] = named
    return found


def describe_file(spec: ModelSpec, variant: str, path: Path) -> ModelFile:
    """Name, size and digest of a file, over those with its tensors too.

    Raises:
        ParityError: it cannot be read.
        ExportError: it is no ONNX file, or one with its tensors is missing.
    """
    try:
        path.stat()
        external = external_files(path)
        size = sum(file.stat().st_size for file in (path, *external.values()))
        sha256 = whole_digest(file_document(path, external))
        return ModelFile(spec.name, variant, path.name, size, sha256)
    except OSError as error:
        raise ParityError(
            f"{path}: cannot be read ({error.strerror})", hint="check its permissions"
        ) from error


def exported_file(plan: BenchPlan, spec: ModelSpec, variant: str) -> Path:
    """An exported file, made where it is missing.

    Raises:
        ExportError: it is missing and cannot be exported.
    """
    from export.replacing import require_here
    from export.variants import file_stem

    path = plan.folder / f"{file_stem(spec, variant)}.onnx"
    require_here(path, ParityError)  # merged or pulled, never made anew
    if not path.is_file():
        from export.build import export_model  # imports torch

        try:
            export_model(spec, plan.source, plan.folder, variant=variant)
        except ExportError as error:
            raise ExportError(
                f"{path} is not there, and cannot be exported: {error.problem}", hint=error.hint
            ) from error
    return path
