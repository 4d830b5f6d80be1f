"""Take each guard out of a copy of the code: the test of that way to be fooled must then fail.

A test that passes without its guard proves nothing. (Where another check stands behind a guard, as
the distance behind NaN, what fails is the reason that the user is given.)
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "trufor_onnx",
    "chunking",
    "export",
    "parity",
    "runtime",
    "tests",
    "sample_dataset",
    "pyproject.toml",
)
FAILED = 1  # pytest's exit code where tests ran and failed

COMPARE, CHANGED = "parity/results/comparison.py", "tests/parity/test_changed_outputs.py"
UNIT = "tests/parity/results/test_comparison.py"
FOOLED = "tests/parity/test_ways_to_be_fooled.py"

ACCEPTANCE, ACCEPTED = "chunking/acceptance.py", "tests/chunking/test_acceptance.py"
STAGED, HOOK = "parity/gate/staged.py", "tests/parity/gate/test_staged.py"
FACED = "tests/trufor_onnx/test_face.py"
FEEDS = "tests/parity/inputs/test_feeds.py"
PROVING, PROVED = "parity/references/proving.py", "tests/parity/references/test_proving.py"
ORIGIN, RULES = "parity/gate/rules/origin.py", "tests/parity/gate/rules/test_origin.py"
BESIDE, DATA = "chunking/external_data.py", "tests/chunking/test_external_data.py"
LIMITS, SUMMARY = "tests/parity/results/test_limits.py", "tests/parity/results/test_summary.py"


@dataclass(frozen=True)
class Guard:
    """The line that finds a wrong result, what is left without it, and the test of it."""

    file: str
    line: str
    without: str
    test: str
    only: str


FINITE = Guard(COMPARE, "    if bad:\n", "    if False:\n", CHANGED, "changed_output and NaN")
SHAPE = Guard(
    COMPARE,
    "if candidate.shape != reference.shape:",
    "if False:",
    CHANGED,
    "transposed",
)
NAMES = Guard(
    COMPARE,
    "    return problems\n",
    "    return {}\n",
    CHANGED,
    "missing_output_of_several",
)
GUARDS = {
    "NaN in an output": FINITE,
    "an infinite value": replace(FINITE, only="changed_output and minus"),
    "a missing output": NAMES,
    "a renamed output": replace(NAMES, only="renamed"),
    "a transposed output": SHAPE,
    "broadcastable shapes": replace(SHAPE, test=UNIT, only="another_shape"),
    "other values": Guard(
        COMPARE, "if not value <= limit:", "if False:", UNIT, "tolerance_that_is_nan"
    ),
    "zero images": Guard(
        "parity/inputs/image_sets.py", "if not found:", "if False:", FOOLED, "no_images"
    ),
    "an all-skipped run": Guard(
        "parity/results/rows.py",
        "return Status.PASS if Status.PASS in found else Status.NOT_RUN",
        "return Status.PASS",
        FOOLED,
        "every_candidate_was_skipped",
    ),
    "silent provider fallback": Guard(
        "parity/runners/onnxruntime_runner.py",
        "if ran != provider.execution_provider:",
        "if False:",
        FOOLED,
        "falls_back_in_silence",
    ),
    "a checkpoint's set that nobody chose": Guard(
        "export/weights/checkpoints.py",
        "    first = usual[:1] or plain or averages\n",
        "    first = (usual or plain or averages)[:1]\n",
        "tests/export/weights/test_checkpoints.py",
        "none_is_guessed",
    ),
    "a shard of another checkpoint": Guard(
        "export/weights/checkpoints.py",
        "        if named != found.keys():\n",
        "        if False:\n",
        "tests/export/weights/test_checkpoints.py",
        "not_whole and mixed",
    ),
    "a weight that is absent beside counters": Guard(
        "export/weights/tensors.py",
        "name not in tensors and name.endswith(COUNTER)]",
        "name not in tensors]",
        "tests/export/weights/test_tensors.py",
        "weights_may_not",
    ),
    "an ONNX file of other weights": Guard(
        "parity/references/identity.py",
        "reason = _refutation(file, digests, lock, spec, weights)",
        'reason = ""',
        FOOLED,
        "other_weights",
    ),
    "a corrupt cache entry": Guard(
        "parity/results/container.py",
        "if sha256(raw).hexdigest() != stored.sha256:",
        "if False:",
        "tests/parity/references",
        "corrupt_entry or changed_byte",
    ),
    "a different environment's baseline": Guard(
        "parity/gate/costs.py",
        "if ours.get(key) != theirs.get(key)",
        "if False",
        "tests/parity/gate/test_planted_regressions.py",
        "baseline_of_another_machine",
    ),
    "split of a git-lfs pointer": Guard(
        ACCEPTANCE,
        "    if cause.text and (model or (source.size and not force)):\n",
        "    if False:\n",
        ACCEPTED,
        "stands_in_a_model_s_place",
    ),
    "split of a truncated ONNX file": Guard(
        ACCEPTANCE, "    if fault:\n", "    if False:\n", ACCEPTED, "model_cut_anywhere"
    ),
    "split against the lock": Guard(
        ACCEPTANCE,
        "        elif (sha256 := digest()) != lock.sha256:\n",
        "        elif sha256 := False:\n",
        ACCEPTED,
        "lock_beside_it",
    ),
    "split over a larger file's manifest": Guard(
        ACCEPTANCE,
        "    if size < whole * LEAST_SHARE:\n",
        "    if False:\n",
        ACCEPTED,
        "manifest_of_a_larger_file",
    ),
    "merge over a different file": Guard(
        "chunking/merging.py",
        "        if _worthless(there, folder) or _recorded(there):\n",
        "        if True:\n",
        ACCEPTED,
        "no_merge_wrote",
    ),
    "merge of a pointer's pieces": Guard(
        "chunking/merging.py",
        "            check_content(content, folder.manifest.file.name, "
        "force=force or before is None)\n",
        "",
        ACCEPTED,
        "pieces_of_a_pointer",
    ),
    "pruning pieces of the lock's file": Guard(
        "chunking/pruning.py", "    if reason:\n", "    if False:\n", ACCEPTED, "not_pruned"
    ),
    "a commit without its pieces": Guard(
        STAGED,
        '            yield f"{path}: not staged, the manifest lists it" + '
        '(": git add it" if there else "")\n',
        "            yield from ()\n",
        HOOK,
        "manifest_without_its_pieces",
    ),
    "a commit that removes a piece": Guard(
        "parity/gate/index.py",
        '"--no-renames", "--no-ext-diff"]',
        '"--no-renames", "--no-ext-diff", "--diff-filter=d"]',
        HOOK,
        "piece_that_is_removed",
    ),
    "a commit with converted line ends": Guard(
        STAGED,
        "        elif self._index.size(path) != piece.size or self._index.sha256(path) != "
        "piece.sha256:\n",
        "        elif False:\n",
        HOOK,
        "line_ends_that_git_changes",
    ),
    "attributes that convert pieces": Guard(
        STAGED, "        if self._changed_by:\n", "        if False:\n", HOOK, "attributes_alone"
    ),
    "a large file of another ending": Guard(
        STAGED,
        "                problems += _large(path, index.size(path), most_bytes)\n",
        "                problems += ()\n",
        HOOK,
        "large_files_of_any_ending",
    ),
    "a flipped bit in a signature": Guard(
        "parity/release/verify.py",
        "    problems += _provenance(folder, found)\n",
        "",
        "tests/parity/release/test_verify.py",
        "only_a_checksum_can_tell",
    ),
    "a signature over another statement": Guard(
        "parity/release/signing.py",
        "    if signed != payload:\n",
        "    if False:\n",
        "tests/parity/release/test_verify.py",
        "makes_the_checksums_anew",
    ),
    "a lock of other weights beside a missing file": Guard(
        "export/build.py",
        "        require_replaceable(found, weights, commands=commands",
        "        (lambda *_, **__: None)(found, weights, commands=commands",
        "tests/export/test_replacing.py",
        "other_weights_without_its_file",
    ),
    "a file that is only in pieces": Guard(
        "parity/references/subject.py",
        "        require_here(path, ParityError)  # merged or pulled, never made anew\n",
        "",
        "tests/parity/references/test_subject.py",
        "in_pieces or pointer",
    ),
    "other bytes than the lock's": Guard(
        "export/build.py",
        "        require_as_locked(found, built.document, commands=commands)\n",
        "        pass\n",
        "tests/export/test_replacing.py",
        "made_for_a_lock",
    ),
    "a free axis of another name": Guard(
        "export/graph/self_check.py",
        "    for sizes, must in [*((sizes, True) for sizes in together), *singly]:",
        "    for sizes, must in ():",
        "tests/export/graph/test_self_check.py",
        "whatever_its_name",
    ),
    "a free axis traced at size 1": Guard(
        "export/graph/trace.py",
        "{axis: FIRST_SIZE + SIZE_STEP * n for",
        "{axis: 1 for",
        "tests/export/graph/test_self_check.py",
        "sizes_of_the_runs",
    ),
    "each free axis alone": Guard(
        "export/graph/self_check.py",
        "(sizes, True) for sizes in together), *singly]",
        "(sizes, True) for sizes in together)]",
        "tests/export/graph/test_self_check.py",
        "sizes_of_the_runs",
    ),
    "another way at larger sizes": Guard(
        "export/graph/self_check.py",
        "            check.at(sizes, must=False, why=why)\n",
        "            pass\n",
        "tests/export/graph/test_self_check.py",
        "another_way_at_larger_sizes",
    ),
    "a random operator at export": Guard(
        "export/build.py",
        "    require_no_random_operators(graph, spec)\n",
        "",
        "tests/export/graph/test_repeatable.py",
        "names_what_draws and seeded",
    ),
    "a network that draws in Python": Guard(
        "export/build.py",
        "    require_repeatable(spec, module)\n",
        "",
        "tests/export/graph/test_repeatable.py",
        "names_what_draws and python",
    ),
    "a random reference": Guard(
        "parity/runners/torch_runner.py",
        "            require_repeatable(spec, module)  #",
        "            #",
        "tests/parity/runners/test_torch_runner.py",
        "random_network_is_no_reference",
    ),
    "a Dropout that trains": Guard(
        "export/graph/repeatable.py",
        "    if ratio == 0.0 or trains == 0.0:\n",
        "    if True:\n",
        "tests/export/graph/test_repeatable.py",
        "named_where_it_draws",
    ),
    "a .data file that is not the locked one": Guard(
        "export/lock.py",
        'file_entry(onnx_path) == document["file"]',
        'file_entry(onnx_path)["sha256"] == document["file"]["sha256"]',
        "tests/export/test_weights_beside_the_file.py",
        "kept_only_whole",
    ),
    "a second candidate of a network": Guard(
        "parity/references/identity.py",
        "            files.append(Path(file))\n",
        "            files[:] = [Path(file)]\n",
        FOOLED,
        "of_two_candidates",
    ),
    "two candidates of a benchmark": Guard(
        "parity/commands/bench.py",
        "if len(files) > 1:",
        "if False:",
        "tests/parity/commands/test_bench.py",
        "two_candidates",
    ),
    "a list option that is given twice": Guard(
        "trufor_onnx/options.py",
        "if self.once and given.get(spelling, values) != values:",
        "if False:",
        FOOLED,
        "list_that_is_given_twice",
    ),
    "a baseline that another one would replace": Guard(
        "trufor_onnx/options.py",
        '        action="extend",\n',
        "",
        "tests/parity/commands/test_gate.py",
        "baselines_given_one_by_one",
    ),
    "preprocessing that the file contradicts": Guard(
        "parity/running/side_by_side.py",
        "entrant.refused = contradiction(contract.metadata, subject.preprocessing)",
        'entrant.refused = ""',
        "tests/parity/runners/test_contract.py",
        "pixel_scale",
    ),
    "labels that are others": Guard(
        COMPARE,
        "if differ <= max(LABELS_FLOOR, tolerance.row_ratio * of_source):",
        "if True:",
        UNIT,
        "labels_are_judged",
    ),
    "a builder that ends the process with exit code 0": Guard(
        "export/foreign.py",
        "except SystemExit as error:",
        "except GeneratorExit as error:",
        "tests/export/test_foreign.py",
        "builders and exits",
    ),
    "an output of other axes than the spec's": Guard(
        "export/graph/outputs.py",
        "isinstance(axis, int) and axis != size for axis",
        "False for axis",
        "tests/export/graph/test_outputs.py",
        "may_not_return and given12",
    ),
    "layers of equal content that an exporter merges": Guard(
        "export/graph/dynamo.py",
        "            optimize=False,\n",
        "            optimize=True,\n",
        "tests/export/test_any_network.py",
        "made_alike",
    ),
    "a random network that returns a dataclass": Guard(
        "export/graph/outputs.py",
        "elif dataclasses.is_dataclass(given) and",
        "elif False and",
        "tests/export/graph/test_repeatable.py",
        "looked_into and dataclass",
    ),
    "code that a lock names": Guard(
        "export/networks/registry.py",
        "    told = _offered or {",
        "    if users.is_users(name):\n        return find_typed(name)\n    told = _offered or {",
        "tests/trufor_onnx/test_face.py",
        "runs_no_code",
    ),
    "outputs of a dict in another order": Guard(
        "export/graph/outputs.py",
        "outputs = tuple(by_name[name] for name in names)",
        "outputs = tuple(output for _, output in found)",
        "tests/export/graph/test_outputs.py",
        "flattened",
    ),
    "a forged lock of a scaled or changed folded weight": Guard(
        PROVING, "    if wrong:\n", "    if False:\n", PROVED, "changed_derived_weight"
    ),
    "a forged lock of weights of another shape": Guard(
        PROVING,
        "if name in own and found[name] != own[name]",
        "if name in own and found[name].sha256 != own[name].sha256",
        PROVED,
        "another_shape",
    ),
    "a forged lock of a branch of Constant nodes": Guard(
        PROVING,
        "if not unknown and contents.graph == rebuilt.graph:",
        "if not unknown:",
        PROVED,
        "with_constant_branch",
    ),
    "a forged lock of a file without initializers": Guard(
        PROVING,
        "return sorted([*wrong, *apart]), []",
        "return wrong, []",
        PROVED,
        "another_graph and without_initializers",
    ),
    "a lock with nothing to derive the file from": Guard(
        "parity/references/identity.py",
        "return Derived(AS_LOCKED, reason=NOTHING_AT_HAND)",
        "return Derived(PROVEN)",
        PROVED,
        "without_anything",
    ),
    "a lock that the gate believes unasked": Guard(
        ORIGIN, "if proof != PROVEN and not trusted:", "if False:", RULES, "a_lock_alone"
    ),
    "tensors that look untrained": Guard(
        "export/weights/tensors.py",
        "return replace(weights, look_untrained=fresh, stored=stored)",
        "return weights",
        "tests/export/weights/test_standin.py",
        "only_checkpoints",
    ),
    "tensors that look untrained in the gate": Guard(
        ORIGIN, "        if fresh:\n", "        if False:\n", RULES, "look_untrained"
    ),
    "an origin by name": Guard(
        "export/weights/download.py",
        "if sha256 in PUBLISHED:",
        "if True:",
        "tests/export/weights/test_download.py",
        "a_name_is_no_origin",
    ),
    "an origin of a file that is not proven": Guard(
        "parity/release/model_card.py",
        'if subject.said("proof") != PROVEN or below(weights, "kind") != "checkpoint":',
        "if False:",
        "tests/parity/release/test_assemble.py",
        "nobody_s",
    ),
    "other tensors in the file beside a model": Guard(
        BESIDE, "return same and beside(ours) == beside(theirs)", "return same", DATA, "covers_both"
    ),
    "tensors from outside of the folder": Guard(
        BESIDE, "if not is_plain(location):", "if False:", DATA, "plain_name"
    ),
    "tensors through a link out of the folder": Guard(
        BESIDE,
        "if data.resolve().parent != path.parent.resolve():",
        "if False:",
        DATA,
        "a_link_out",
    ),
    "tensors beyond the end of their file": Guard(
        BESIDE, "if place.offset + (place.length or 0) > size:", "if False:", DATA, "beyond_the_end"
    ),
    "a file beside the model that was not measured": Guard(
        ORIGIN, "yield from _beside(subject, path)", "return", RULES, "a_file_beside_the_model"
    ),
    "a changed module that the network imports": Guard(
        "parity/references/closure.py",
        "        found = list(_imports(tree, package))\n",
        "        found = []\n",
        "tests/parity/references/test_closure.py",
        "changed_module_that_is_reached",
    ),
    "an installed package of another version": Guard(
        "parity/references/closure.py",
        "                self._add_package(owner)\n                if owner",
        "                if owner",
        "tests/parity/references/test_closure.py",
        "installed_package",
    ),
    "code that cannot be followed": Guard(
        "parity/references/keys.py",
        "        if unseen:\n",
        "        if False:\n",
        "tests/parity/references/test_supply.py",
        "cannot_be_followed",
    ),
    "a journal of other code": Guard(
        "parity/running/journal.py",
        '        "code": code_digest(),\n',
        "",
        "tests/parity/running/test_journal.py",
        "code_digest",
    ),
    "a journal of another network's code": Guard(
        "parity/running/journal.py",
        '        "networks": [made_by(spec) for spec in specs],\n',
        "",
        "tests/parity/running/test_journal.py",
        "networks_code_counts",
    ),
    "rows of a foreign backend": Guard(
        "parity/running/judging.py",
        "return SOURCE_PROOF if runner is self.source else self._identity.variant",
        "return self._identity.variant if runner.backend == BACKEND else SOURCE_PROOF",
        FOOLED,
        "backend_of_another_name",
    ),
    "a runner that takes PyTorch's name": Guard(
        "parity/running/judging.py",
        'if runner is not self.source and runner.backend in ("", SOURCE):',
        "if False:",
        "tests/parity/running/test_judging.py",
        "takes_pytorch",
    ),
    "rows of no file": Guard(
        "parity/gate/rules/whole.py",
        'if row.backend not in ("", SOURCE) and (row.model, row.variant) not in files:',
        "if False:",
        "tests/parity/gate/rules/test_whole.py",
        "call_themselves_the_source",
    ),
    "a network that changed on both sides": Guard(
        "parity/results/sketch.py",
        "        if not far <= most\n",
        "        if False\n",
        "tests/parity/gate/test_planted_regressions.py",
        "changed_on_both_sides and json",
    ),
    "a baseline on no common picture": Guard(
        "parity/gate/rules/numbers.py",
        'missing.append(f"{model}: no picture in common with the last release")',
        'held.append("")',
        "tests/parity/gate/rules/test_numbers.py",
        "nothing_can_be_held",
    ),
    "a bundle that is not the report's": Guard(
        "parity/release/assemble.py",
        "    if problems:\n",
        "    if False:\n",
        "tests/parity/release/test_shipped_references.py",
        "not_of_the_report",
    ),
    "memory without a baseline": Guard(
        "parity/gate/rules/cost.py",
        "    if unjudged and found.outcome is Outcome.PASS:\n",
        "    if False:\n",
        "tests/parity/gate/rules/test_cost.py",
        "without_anything_to_compare_with",
    ),
    "memory of two files of one run": Guard(
        "parity/gate/rules/cost.py",
        "if peak > max(growth * before, before + slack):",
        "if False:",
        "tests/parity/gate/rules/test_cost.py",
        "old_file_s_peak",
    ),
    "a size that no baseline has": Guard(
        "parity/gate/rules/files.py",
        'return with_unjudged(found, unjudged, "within the budget")',
        "return found",
        "tests/parity/gate/rules/test_files.py",
        "size_that_no_baseline_has",
    ),
    "errors on images that no baseline has": Guard(
        "parity/gate/rules/numbers.py",
        "return with_unjudged(found, unjudged, found.saw)",
        "return found",
        "tests/parity/gate/rules/test_numbers.py",
        "images_that_no_baseline_has",
    ),
    "a larger size than traced": Guard(
        "parity/inputs/shapes.py",
        "    yield 1, (max(512, height + 128, least), max(384, width + 96, least))\n",
        "",
        "tests/parity/inputs/test_shapes.py",
        "shape_matrix_of_a_network_of_free_size or larger_one",
    ),
    "a batch of three": Guard(
        "parity/inputs/shapes.py",
        "        (3, (64, 80)),\n",
        "",
        "tests/parity/inputs/test_shapes.py",
        "shape_matrix_of_a_network_of_free_size",
    ),
    "batches of a fixed-size network": Guard(
        "parity/inputs/shapes.py",
        "FIXED_BATCHES = (1, 2, 3, 5)  #",
        "FIXED_BATCHES = (1, 2)  #",
        "tests/parity/inputs/test_shapes.py",
        "fixed_size_has_that_and_batches",
    ),
    "sizes drawn from the seed": Guard(
        "parity/inputs/shapes.py",
        'draw = Random(f"{spec.name} {spec.version} {seed}")',
        'draw = Random("always")',
        "tests/parity/inputs/test_shapes.py",
        "drawn_from_the_seed",
    ),
    "sizes drawn for the file": Guard(
        "parity/running/run.py",
        "if seed else []",
        "if False else []",
        "tests/parity/running/test_run.py",
        "seed_follows_from_the_file",
    ),
    "a new file on known sizes": Guard(
        "parity/gate/rules/whole.py",
        "if least.fresh_seed:",
        "if False:",
        "tests/parity/gate/rules/test_whole.py",
        "another_file_on_the_baseline_s_drawn_sizes",
    ),
    "copies by their pixels": Guard(
        "parity/inputs/looks.py",
        '{look["like"] for look in found',
        "{id(look) for look in found",
        "tests/parity/gate/rules/test_whole.py",
        "one_image_many_times",
    ),
    "flat pictures that are counted": Guard(
        "parity/inputs/looks.py",
        'and look.get("flat") is False',
        "",
        "tests/parity/gate/rules/test_whole.py",
        "flat_images_and_unknown_ones",
    ),
    "made pictures always run": Guard(
        "parity/running/run.py",
        ", *made_cases(subject.spec)]",
        "]",
        "tests/parity/inputs/test_cases.py",
        "nan_on_a_flat_picture",
    ),
    "a gate without made pictures": Guard(
        "parity/gate/rules/whole.py",
        "            if lacking and _takes_a_picture(subject):\n",
        "            if False:\n",
        "tests/parity/gate/rules/test_whole.py",
        "made_pictures_are_among_the_cases",
    ),
    "pictures that all are flat": Guard(
        "parity/inputs/looks.py",
        "        if not look.flat:\n            found.setdefault",
        "        if True:\n            found.setdefault",
        "tests/parity/running/test_run.py",
        "all_flat_prove_nothing",
    ),
    "limits of outputs of any size": Guard(
        "parity/results/limits.py",
        "getattr(tolerance, name) * times * scale.spread,",
        "getattr(tolerance, name) * times,",
        LIMITS,
        "small_outputs",
    ),
    "a constant output": Guard(
        "parity/results/limits.py",
        "if found.low == found.high and given.high - given.low > slack(row, source, tolerance):",
        "if False:",
        LIMITS,
        "constant_is_named",
    ),
    "a reference that never varies": Guard(
        "parity/results/limits.py",
        "if not scale.varies and (",
        "if False and (",
        LIMITS,
        "one_value",
    ),
    "an error of float32 as large as the outputs' spread": Guard(
        "parity/results/limits.py",
        "if not row.mae <= max(MOST_OF_SPREAD, tolerance.mae) * scale.spread:",
        "if False:",
        LIMITS,
        "no_more_than_the_spread",
    ),
    "a row without its values": Guard(
        "parity/results/limits.py",
        "if scale is None or row.reference is None or row.found is None:",
        "if False:",
        LIMITS,
        "without_its_figures",
    ),
    "rounding that no witness showed": Guard(
        "parity/results/limits.py",
        "all(one.clears(tolerance) for one in computed)",
        "True",
        LIMITS,
        "right_in_float64",
    ),
    "an error that a witness does not explain": Guard(
        "parity/results/limits.py",
        "return row.mae <= REACH * explained",
        "return True",
        LIMITS,
        "far_over_what_a_witness_explains",
    ),
    "another picture's witness for a made one": Guard(
        "parity/results/limits.py",
        "return any(one.image == row.image for one in computed)",
        "return True",
        LIMITS,
        "witness_of_its_own",
    ),
    "an ignored input": Guard(
        "parity/results/summary.py", "    if same:\n", "    if False:\n", SUMMARY, "one_answer"
    ),
    "a ratio under the floor": Guard(
        "parity/results/summary.py",
        "return min(tolerance.noise_floor, MOST_OF_SIZE * size)",
        "return tolerance.noise_floor",
        SUMMARY,
        "floor_hides_no_ratio",
    ),
    "a bias": Guard(
        "parity/results/summary.py",
        'return bias if len(maes) >= FEW else ""',
        'return ""',
        SUMMARY,
        "bias_under_the_floor",
    ),
    "a random operator": Guard(
        "parity/running/side_by_side.py",
        "entrant.random = randomness(entrant.candidate.path)",
        "pass",
        "tests/parity/running/test_steadiness.py",
        # One whose noise no limit sees; such files can end the whole process where they are run.
        "random_candidate",
    ),
    "a candidate that differs from itself": Guard(
        "parity/running/side_by_side.py",
        "entrant.unsteady[runner.provider] = problem",
        "pass",
        "tests/parity/running/test_side_by_side.py",
        "otherwise_the_second_time",
    ),
    "a reference coarser than float32": Guard(
        "parity/references/yardstick.py",
        "    if less:\n",
        "    if False:\n",
        "tests/parity/references/test_yardstick.py",
        "computes_in_float16",
    ),
    "a BatchNorm folded under the old name": Guard(
        "parity/locate/origins.py",
        "            origins.add(weight, (name, *norm.scaling), SCALED)\n",
        "            continue\n",
        "tests/parity/locate/test_right_files.py",
        "old_name_is_no_fault",
    ),
    "a difference before the first layer": Guard(
        "parity/locate/forcing.py",
        "        if expected is None or expected[0] in self._untied:\n",
        "        if True:\n",
        "tests/parity/locate/test_right_files.py",
        "first_layer_is_the_inputs and BGR",
    ),
    "one weight that is 0.1 % off": Guard(
        "parity/locate/causes.py",
        "        if 0 < wrong.sum() <= FEW * wrong.size:\n",
        "        if False:\n",
        "tests/parity/locate/test_right_files.py",
        "one_weight_that_no_output_shows",
    ),
    "one epsilon that no output shows": Guard(
        "parity/locate/causes.py",
        "        if not any(abs(eps - one) <= EPS_AGREES * one for",
        "        if False and not any(abs(eps - one) <= EPS_AGREES * one for",
        "tests/parity/locate/test_right_files.py",
        "epsilon_that_no_output_shows",
    ),
    "a layer of another network in the gate": Guard(
        "parity/gate/rules/files.py",
        "        elif one.first:\n",
        "        elif False:\n",
        "tests/parity/locate/test_run.py",
        "stops_the_gate",
    ),
    "a reference that is not the network": Guard(
        "parity/runners/torch_runner.py",
        "        if not is_plain(layer) or not _keeps_size(layer):\n",
        "        if not hasattr(layer, 'padding_mode') or not _keeps_size(layer):\n",
        "tests/parity/runners/test_torch_runner.py",
        "way_of_its_own",
    ),
    "a wrong file behind a kernel that rounds coarsely": Guard(
        "export/graph/rounding.py",
        "        if not least <= allowed:\n",
        "        if False:\n",
        "tests/export/graph/test_self_check.py",
        "hide_behind_a_coarse_kernel",
    ),
    "tensors beside a staged model": Guard(
        STAGED,
        '        yield from _staged_tensors(index, path, beside(lock["file"]))\n',
        "        pass\n",
        HOOK,
        "tensors_beside_a_model",
    ),
    "differences of unsigned and yes-or-no outputs": Guard(
        "export/graph/rounding.py",
        '(a if a.dtype.kind == "f" else a.astype(float) for a in (candidate, reference))',
        "(candidate, reference)",
        "tests/export/graph/test_self_check.py",
        "outputs_of_other_types",
    ),
    "a row cleared by another case": Guard(
        "parity/results/limits.py",
        "return any(one.speaks_of(row.image) for one in computed)",
        "return True",
        LIMITS,
        "cleared_by_its_own_case",
    ),
    "a file that is nearly right in float64": Guard(
        "parity/results/witness.py",
        "return tolerance.relative or self.mae_float64 <= EXACT * tolerance.mae",
        "return True",
        "tests/parity/results/test_witness.py",
        "right_is_exact",
    ),
    "many rows over their limits": Guard(
        "parity/results/summary.py",
        "0 < len(failed) <= MOST_CHANCES",
        "failed",
        "tests/parity/results/test_summary.py",
        "many_are_no_chance",
    ),
    "a made picture over its limit": Guard(
        "parity/running/judging.py",
        "tolerance = replace(tolerance, cleared=1.0)",
        "pass",
        "tests/parity/running/test_judging.py",
        "made_picture_is_not_cleared",
    ),
    "another form of ONNX Runtime's attention": Guard(
        "export/graph/in_float64.py",
        "if not whole or set(given) - GIVEN or any(other is not None for other in others):",
        "if False:",
        "tests/parity/results/test_witness.py",
        "another_form",
    ),
    "a release's tensors beside a file, and the report": Guard(
        "parity/release/verify.py",
        '        if measured.get(str(file.get("name"))) != whole_digest(file):\n',
        '        if str(file.get("name")) not in measured:\n',
        "tests/parity/release/test_verify.py",
        "did_not_measure",
    ),
    "limits of its own, and none named to the gate": Guard(
        "parity/results/tolerances.py",
        'return ours if own is None else sha256_bytes(f"{ours} {own.sha256}".encode())',
        "return ours",
        FACED,
        "own_limits_judge",
    ),
    "limits of a user's that are not looked at": Guard(
        "parity/results/tolerances.py",
        "entries = _entries() if own is None else {**_entries(), **own.entries}",
        "entries = _entries()",
        FACED,
        "strict_limits",
    ),
    "a gate that judges by other limits than it was given": Guard(
        "parity/gate/judge.py",
        "    with using(own):\n",
        "    with using(None):\n",
        FACED,
        "strict_limits",
    ),
    "limits of its own that no report says": Guard(
        "parity/report/sentences.py",
        "        *tolerance_lines(report),\n",
        "",
        FACED,
        "own_limits_judge",
    ),
    "constant inputs that count as different ones": Guard(
        "parity/inputs/looks.py",
        "        look = Look(name, loaded.sha256, digest, flat, digest)\n",
        "        look = Look(name, loaded.sha256, digest, False, digest)\n",
        FEEDS,
        "constant_inputs",
    ),
    "feeds of another type, cast in silence": Guard(
        "parity/inputs/feeds.py",
        "    if not same_kind or (",
        "    if False and (",
        FEEDS,
        "what_the_network_does_not_take",
    ),
    "a file outside of the manifest's folder": Guard(
        "parity/inputs/feeds.py",
        'if inside.is_absolute() or ".." in inside.parts or "\\\\" in given:',
        "if False:",
        FEEDS,
        "a_manifest_that_gives_no_inputs",
    ),
    "feeds of one length only": Guard(
        "parity/gate/rules/whole.py",
        "return min(least, FEEDS_SHAPES if free else 1)",
        "return 1",
        "tests/parity/test_any_inputs.py",
        "one_length",
    ),
    "a collection of memory that is taken for a way of the network": Guard(
        "export/graph/other_ways.py",
        "        gc.disable()  # what",
        "        pass  # what",
        "tests/export/graph/test_self_check.py",
        "others_do",
    ),
}


@dataclass(frozen=True)
class CopyOfTheCode:
    """A copy of the code, and a process that runs its tests."""

    folder: Path
    server: subprocess.Popen[str]

    def run(self, guard: Guard) -> tuple[int, str]:
        """The exit code of a guard's test, and what pytest printed."""
        log = self.folder / "pytest.log"
        options = ["-q", "-p", "no:cacheprovider", "-m", "not slow", "-k", guard.only]
        assert self.server.stdin is not None and self.server.stdout is not None
        asked = [str(self.folder), str(log), [guard.test, *options]]
        self.server.stdin.write(json.dumps(asked) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline()), log.read_text("utf-8", errors="replace")


@pytest.fixture(scope="module")
def tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CopyOfTheCode]:
    folder = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", "*.onnx")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=ignored)
        else:
            shutil.copy(ROOT / part, folder / part)
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-P", str(folder / "tests" / "parity" / "forked.py")]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=pipe, stdout=pipe, text=True
    ) as server:
        yield CopyOfTheCode(folder, server)
        assert server.stdin is not None
        server.stdin.close()


@pytest.mark.slow
@pytest.mark.parametrize("what", GUARDS)
def test_without_the_guard_its_test_fails(what: str, tests: CopyOfTheCode) -> None:
    guard = GUARDS[what]
    code, printed = tests.run(guard)
    assert code == 0, printed
    path = tests.folder / guard.file
    source = path.read_text("utf-8")
    assert source.count(guard.line) == 1, f"{guard.file}: no such guard, or several"
    path.write_text(source.replace(guard.line, guard.without), "utf-8")
    try:
        code, printed = tests.run(guard)
        assert code == FAILED, printed
    finally:
        path.write_text(source, "utf-8")
