"""The skins of ``python -m parity``'s subcommands: parse, one library call, print, exit code."""
