"""What the gate's rules found, and what all of them together mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from trufor_onnx.console import EXIT_COULD_NOT, EXIT_FAILED, EXIT_OK

WORDS = {EXIT_OK: "pass", EXIT_FAILED: "fail", EXIT_COULD_NOT: "could not compare"}


class Outcome(StrEnum):
    """How a rule ended. ``not judged`` never counts as passed."""

    PASS = "pass"
    FAIL = "fail"
    COULD_NOT = "could not compare"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Finding:
    """One rule's sentence.

    Attributes:
        rule: its name in the policy.
        outcome: how it ended.
        saw: what is there.
        allows: what may be there.
        look: how to look closer: a command or a place.
        details: everything that is wrong, one a line.
        reason: why the policy has the rule.
    """

    rule: str
    outcome: Outcome
    saw: str
    allows: str
    look: str
    details: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Decision:
    """All rules together.

    Attributes:
        findings: in the order of the policy.
        policy_sha256: the digest of what the policy said.
        report_sha256: the report's own digest ("" where it has none that holds).
        although: why a release went out all the same, or "".
    """

    findings: tuple[Finding, ...]
    policy_sha256: str
    report_sha256: str
    although: str = ""

    @property
    def exit_code(self) -> int:
        """0: released; 1: a rule failed; 2: something that had to be judged could not be."""
        outcomes = {finding.outcome for finding in self.findings}
        if Outcome.FAIL in outcomes:
            return EXIT_FAILED
        if Outcome.COULD_NOT in outcomes or Outcome.PASS not in outcomes:
            return EXIT_COULD_NOT
        return EXIT_OK

    @property
    def verdict(self) -> str:
        """``pass``, ``fail`` or ``could not compare``."""
        return WORDS[self.exit_code]

    @property
    def stopped_by(self) -> tuple[str, ...]:
        """The rules that stop the release, in order."""
        stops = (Outcome.FAIL, Outcome.COULD_NOT)
        return tuple(finding.rule for finding in self.findings if finding.outcome in stops)


def verdict(rule: str, problems: Iterable[str], *, saw: str, allows: str, look: str) -> Finding:
    """Passed where there is no problem; else failed, and the first problem is what it saw.

    Args:
        rule: the rule's name.
        problems: what is wrong, a sentence each.
        saw: what it saw where nothing is wrong.
        allows: what may be there.
        look: how to look closer.
    """
    found = tuple(dict.fromkeys(problems))
    if not found:
        return Finding(rule, Outcome.PASS, saw, allows, look)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return Finding(rule, Outcome.FAIL, found[0] + more, allows, look, found)


def absent(
    rule: str, refused: bool, missing: Sequence[str], *, allows: str, look: str, why: str = ""
) -> Finding:
    """A rule that has nothing to judge, or not all: "could not compare" where that is refused.

    Args:
        rule: the rule's name.
        refused: whether the policy refuses that.
        missing: what is missing, a sentence each.
        allows: what may be there.
        look: how to look closer.
        why: what it saw, where that is not the first of them.
    """
    outcome = Outcome.COULD_NOT if refused else Outcome.NOT_JUDGED
    return Finding(rule, outcome, why or missing[0], allows, look, tuple(missing))


def with_unjudged(found: Finding, unjudged: Sequence[str], saw: str) -> Finding:
    """What a rule found, but a pass that leaves something unjudged is no pass.

    Args:
        found: what the rule says of what it could judge.
        unjudged: what it could not, a sentence each.
        saw: what it saw beside the first of them.
    """
    if not unjudged or found.outcome is not Outcome.PASS:
        return found
    return replace(
        found,
        outcome=Outcome.NOT_JUDGED,
        saw=f"{unjudged[0]}; {saw}",
        details=tuple(unjudged),
    )
