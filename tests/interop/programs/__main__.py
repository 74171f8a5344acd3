"""Use all of the SDK's evaluations: `python -m tests.interop.programs REPORT PROJECT`."""

import asyncio
import sys

from tests.interop.programs.counting import begin

begin()

import weave  # noqa: E402

from tests.interop.programs import evaluation, logger  # noqa: E402

weave.init(sys.argv[2])
asyncio.run(evaluation.main())
left = logger.main()
