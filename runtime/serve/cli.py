"""``python -m runtime.serve``: the local page from the command line."""

from __future__ import annotations

import argparse
import socket
import sys

from trufor_onnx.console import EXIT_OK, run_cli
from trufor_onnx.errors import AnalysisError
from trufor_onnx.runtime.arguments import add_detector_arguments, detector_of
from trufor_onnx.runtime.session import ended

PROGRAM = "python -m runtime.serve"
LOOPBACK = "127.0.0.1"
MIB = 1 << 20
MOST_PORT = 65535


def main(argv: list[str] | None = None) -> int:
    """Serve until Ctrl-C. Returns the exit code."""
    return ended(run_cli(_main, argv))


def _main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    try:
        import uvicorn

        from trufor_onnx.runtime.serve.app import allowed_hosts, make_app
    except ModuleNotFoundError as error:
        raise AnalysisError(
            f"the page needs {error.name}, which is not installed",
            hint="pip install 'trufor-onnx[serve]'",
        ) from error
    if not args.max_megabytes > 0:
        raise AnalysisError("--max-megabytes must be positive", hint="as 64")
    listener = _listen(args.host, args.port)
    with listener:
        port = int(listener.getsockname()[1])
        detector = detector_of(args)
        if detector.provenance.warning:
            print(f"warning: {detector.provenance.warning}", file=sys.stderr)
        if args.host != LOOPBACK:
            print(f"warning: bound to {args.host}: whoever reaches it may use it", file=sys.stderr)
        hosts = allowed_hosts(args.host, port, args.allow_host)
        app = make_app(detector, hosts, most_bytes=int(args.max_megabytes * MIB))
        shown = f"[{args.host}]" if ":" in args.host else args.host
        print(f"http://{shown}:{port}/  (Ctrl-C ends it)", flush=True)
        config = uvicorn.Config(
            app, log_level="warning", server_header=False, ws="none", timeout_graceful_shutdown=1
        )
        uvicorn.Server(config).run(sockets=[listener])
    return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog=PROGRAM,
        description="A local page: drop an image, see map, reliability and score.",
    )
    parser.add_argument(
        "--host", default=LOOPBACK, metavar="ADDRESS", help="to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=int, default=8765, metavar="N", help="0 for any (default: %(default)s)"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME[:PORT]",
        help="a further name that the server goes by, as behind a proxy",
    )
    parser.add_argument(
        "--max-megabytes",
        type=float,
        default=64.0,
        metavar="N",
        help="the largest upload (default: %(default)g)",
    )
    add_detector_arguments(parser)
    return parser


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket: the port is known to be free before the models are loaded."""
    if not 0 <= port <= MOST_PORT:
        raise AnalysisError(f"no port {port}", hint="--port 0 takes any free port")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise AnalysisError(
            f"{host}:{port}: cannot listen there ({error})", hint="--port 0 takes any free port"
        ) from error
