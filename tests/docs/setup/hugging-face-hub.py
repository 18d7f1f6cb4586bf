"""What the page on the Hugging Face Hub takes for granted: a small one with a model on it."""

import atexit
import os
import sys
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(sys._getframe().f_code.co_filename).parents[3]))

from tests.frameworks.hub_server import running

_stack = ExitStack()
_server = _stack.enter_context(running())
atexit.register(_stack.close)
os.environ |= {"HF_ENDPOINT": _server.url, "HF_HOME": "hf", "HF_HUB_DISABLE_XET": "1"}
os.environ["HF_TOKEN"] = _server.token

from tests.frameworks.hub_folders import network, write  # noqa: E402 (it reads these when it is imported)

_folder = write(Path("films"), network("bert"))
(_folder / "README.md").write_text("---\nlicense: mit\n---\n# Films\n")
_server.add("team/films", _folder)
