"""Serve the public mcp-server-git over streamable HTTP: ``serve.py REPOSITORY HOST PORT``."""

import asyncio
import sys
from pathlib import Path

from mcp_server_git.server import create_server

repository, host, port = sys.argv[1:]
asyncio.run(create_server(Path(repository)).run_streamable_http_async(host=host, port=int(port)))
