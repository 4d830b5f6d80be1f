import subprocess
import sys

import pytest

from trufor_onnx.console import run_cli
from trufor_onnx.errors import UserError


def test_user_error_is_a_message_and_a_code(capsys: pytest.CaptureFixture[str]):
    class Failed(UserError):
        exit_code = 1

    def fail(argv: list[str]) -> int:
        raise Failed("wrong " + argv[0], hint="mend it")

    assert run_cli(fail, ["file"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "error: wrong file\n  hint: mend it\n"
    assert captured.out == ""


def test_interrupt_is_130(capsys: pytest.CaptureFixture[str]):
    def interrupted(_argv: list[str]) -> int:
        raise KeyboardInterrupt

    assert run_cli(interrupted, []) == 130
    assert "interrupted" in capsys.readouterr().err


def test_other_errors_are_not_hidden():
    def broken(_argv: list[str]) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_cli(broken, [])


def test_reader_that_went_away_is_no_error():
    code = """if True:
        import sys
        from trufor_onnx.console import run_cli

        def main(argv):
            while True:
                print("x" * 1000)

        sys.exit(run_cli(main, []))
    """
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.read(1)
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait(timeout=60) == 0
